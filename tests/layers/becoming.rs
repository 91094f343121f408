//! A layer that puts another one below itself, and becomes one of another kind.

use onionskin::layer::Counter;
use onionskin::stack::{End, Ends, Event, Failure, Layer, LayerErrorKind, Limits, Queue, Report, Way};
use onionskin::testing::{Cut, Pair};

/// Waits for a full stop, lets nothing through, and then becomes a [`Swap`], over a counter if it is told so.
#[derive(Debug)]
struct Herald {
    with_counter: bool,
}

impl Layer for Herald {
    fn name(&self) -> &'static str {
        "herald"
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if ends.inbound_below().front().first() == Some(&b'.') {
            ends.inbound_below().consume(1);
            ends.outbound_below().push(b"!");
            if self.with_counter {
                ends.report(Report::Insert(Box::new(Counter::new())));
            }
            ends.report(Report::Become(Box::new(Swap)));
        }
        Ok(())
    }

    fn outbound(&mut self, _ends: &mut Ends<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Swaps small letters and capitals, and says hello when it is put in.
#[derive(Debug)]
struct Swap;

impl Swap {
    fn swap<M>(from: &mut Queue<M>, to: &mut Queue<M>) {
        let swapped: Vec<u8> = from.front().iter().map(|byte| byte ^ 0x20).collect();
        from.consume(swapped.len());
        to.push(&swapped);
    }
}

impl Layer for Swap {
    fn name(&self) -> &'static str {
        "swap"
    }

    fn attach(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.outbound_below().push(b"HELLO");
        ends.report(Report::Ready);
        Ok(())
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Way { from: below, to: above } = ends.all().inbound;
        Self::swap(below, above);
        ends.pass_inbound();
        Ok(())
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Way { from: above, to: below } = ends.all().outbound;
        Self::swap(above, below);
        ends.pass_outbound();
        Ok(())
    }
}

#[test]
fn what_rests_on_both_sides_belongs_to_the_new_layer() {
    for cut in [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(1)] {
        for with_counter in [false, true] {
            let mut pair = Pair::new(cut);
            let id = pair.left.splice(Herald { with_counter });
            pair.left.write(b"waits");
            pair.right.write(b".behind");
            pair.run();
            assert_eq!(pair.right.read(), b"!HELLOWAITS");
            assert_eq!(pair.left.read(), b"BEHIND");
            let names: Vec<_> = pair.left.stack.layers().map(|(_, layer)| layer.name()).collect();
            assert_eq!(names, if with_counter { vec!["counter", "swap"] } else { vec!["swap"] });
            assert_eq!(pair.left.stack.layers().last().unwrap().0, id, "the id stays");
            assert!(matches!(pair.left.events()[..], [Event::Ready(ready)] if ready == id));
            if let Some((counter, layer)) = pair.left.stack.layers().next().filter(|_| with_counter) {
                let layer: &dyn std::any::Any = layer;
                let counts = layer.downcast_ref::<Counter>().unwrap().counts();
                assert_eq!((counts.inbound(), counts.outbound()), (6, 10), "{counter}");
            }
            pair.left.end_input();
            pair.run();
            assert_eq!(pair.left.stack.end_ahead(), Some(&End::Wire));
        }
    }
}

#[test]
fn one_layer_too_many_is_the_failure_of_who_asked_for_it() {
    for (depth, fails) in [(2, false), (1, true)] {
        let mut pair = Pair::with_limits(Cut::Whole, Limits::default().with_depth(depth));
        let id = pair.left.splice(Herald { with_counter: true });
        pair.right.write(b".");
        pair.run();
        let Some(reason) = pair.left.lost() else {
            assert!(!fails);
            continue;
        };
        let loss = &reason.layers()[0];
        assert_eq!((loss.layer, loss.error.kind()), (id, LayerErrorKind::Limit), "{reason}");
        assert_eq!(loss.description, "herald");
        assert!(fails);
    }
}
