//! The work loop: who is called when, and what becomes of what they say.
//!
//! A layer is *woken* when it has been given bytes or marks, or room that it has asked for. The loop calls woken layers until
//! none is left, and follows the bytes: the layer that was given something is called next, so a record goes through all
//! layers while it is in the cache, and its storage is free when the next one comes. A batch of input is drained through all
//! layers, and all that it caused is drained down, before the driver touches the socket. Nothing is called from inside a
//! call.
//!
//! A layer that breaks its contract, so that the loop or a deadline would never end, fails, and the connection with it.

use std::time::Instant;

use super::layer::{Consequence, Failure, Neighbours, Waiting};
use super::list::{NodeState, WIRE};
use super::{
    Boundary, CommandError, CommandErrorKind, Departure, Described, End, Ends, Event, Layer, LayerError,
    LayerErrorKind, LayerId, LayerLoss, Order, PeerAnswer, Reason, Report, Side, Stack, Stop,
};

impl Stack {
    /// Something has come from outside: calls woken layers until none is left, or the turn is over.
    pub(super) fn settle(&mut self, now: Instant) {
        self.unfinished = None;
        self.take_turn(now, 1);
    }

    /// Goes on with what was put off.
    pub(super) fn go_on(&mut self, now: Instant) {
        let turns = self.unfinished.take().map_or(1, |unfinished| unfinished.turns + 1);
        if turns > MAX_TURNS {
            self.fail_restless(now);
        }
        self.take_turn(now, turns);
    }

    /// A little input can make much work: layers that unpack may have each other unpack for minutes, and nothing comes of
    /// it. So what is not done within one turn is put off, and the driver lets others have theirs.
    fn take_turn(&mut self, now: Instant, turns: usize) {
        let mut runs = 0;
        while let Some(index) = self.next_woken() {
            if runs == CALLS_PER_TURN {
                self.unfinished = Some(Unfinished { since: now, turns });
                break;
            }
            runs += 1;
            self.run(index, now);
        }
        if self.has_clocks {
            self.turn_clocks(now);
        }
        self.release_idle();
    }

    /// Whom the last layer has given something, or else the outermost of the woken.
    fn next_woken(&mut self) -> Option<usize> {
        let given = self.given.take().filter(|&index| self.list.contains(index) && self.list.is_woken(index));
        given.or_else(|| self.outermost_woken())
    }

    fn outermost_woken(&self) -> Option<usize> {
        if !self.list.is_awake() {
            return None;
        }
        self.list.outer_to_inner().find(|&index| self.list.is_woken(index))
    }

    /// Fails the outermost layer that still wants to run, be it the culprit or one that the culprit keeps busy.
    fn fail_restless(&mut self, now: Instant) {
        let restless = |&index: &usize| self.list.is_woken(index) && self.list.node(index).state != NodeState::Failed;
        let restless = self.list.outer_to_inner().find(restless);
        if let Some(index) = restless {
            let message = "the layer does not come to rest";
            self.fail(index, now, Failure::lose(LayerError::new(LayerErrorKind::Limit, message)));
        }
    }

    fn run(&mut self, index: usize, now: Instant) {
        if self.list.take_woken(index) && self.list.node(index).state != NodeState::Failed {
            self.call(index, now, |layer, ends| {
                layer.inbound(ends)?;
                layer.outbound(ends)
            });
        }
    }

    pub(super) fn time_out(&mut self, index: usize, now: Instant) {
        if self.is_own_deadline_due(index, now) {
            self.time_out_layer(index, now);
        }
        if self.list.contains(index) {
            self.run_out(index, now);
        }
    }

    fn time_out_layer(&mut self, index: usize, now: Instant) {
        self.waiting = self.waiting_around(index);
        self.call(index, now, Layer::timeout);
        self.waiting = Waiting::default();
        if !self.list.contains(index) {
            return;
        }
        self.wake(index);
        if self.is_own_deadline_due(index, now) {
            let message = "the layer's deadline does not move on when it has passed";
            self.fail(index, now, Failure::lose(LayerError::new(LayerErrorKind::Limit, message)));
        }
    }

    fn waiting_around(&self, index: usize) -> Waiting {
        let below = self.list.upwards(WIRE).take_while(|&below| below != index);
        let unsent: usize = below.map(|below| self.list.node(below).above.outbound.len()).sum();
        Waiting { unsent: unsent.saturating_add(self.backlog), unread: self.unread_above(index) }
    }

    /// What a layer leaves in front of it, with room behind it, is a part of something whose rest is missing; unless it is not
    /// yet time for it, or its turn.
    fn unread_above(&self, index: usize) -> usize {
        let keeps = |index: &usize| self.is_unfinished() || self.own_deadline(*index).is_some();
        let above = self.list.upwards(index).skip(1).filter(keeps);
        let kept: usize = above.map(|index| self.list.node(self.list.below(index)).above.inbound.len()).sum();
        let application = &self.list.node(self.list.innermost()).above.inbound;
        kept.saturating_add(application.len_behind(self.looked_at))
    }

    /// Calls a layer, wakes whom that concerns, and acts on what it reported.
    pub(super) fn call(
        &mut self,
        index: usize,
        now: Instant,
        step: impl FnOnce(&mut dyn Layer, &mut Ends<'_>) -> Result<(), Failure>,
    ) {
        let (result, reports) = self.with_ends(index, now, step);
        if !reports.is_empty() {
            self.handle_reports(index, now, reports);
            if self.list.contains(index) {
                self.ask_awaited(index);
            }
        }
        if !self.list.contains(index) {
            return;
        }
        match result {
            Err(failure) => self.fail(index, now, failure),
            Ok(()) if self.has_made_up_loss(index) => {
                let message = "the layer tells of a loss that there was not";
                self.fail(index, now, Failure::lose(LayerError::new(LayerErrorKind::Unsupported, message)));
            }
            Ok(()) => {}
        }
    }

    /// Whether a layer has put a mark up that says more than the stack knows: its reader would wait without end for the reason.
    fn has_made_up_loss(&self, index: usize) -> bool {
        self.list.node(index).above.inbound.mark_behind().is_some_and(|end| match end {
            End::Truncated => self.fate.truncated().is_none() && self.fate.lost().is_none(),
            End::Lost => self.fate.lost().is_none(),
            End::Layer(_) | End::Wire => false,
        })
    }

    fn with_ends<R>(
        &mut self,
        index: usize,
        now: Instant,
        step: impl FnOnce(&mut dyn Layer, &mut Ends<'_>) -> R,
    ) -> (R, Vec<Report>) {
        let id = self.list.id(index);
        let mut reports = Vec::new();
        let neighbours = Neighbours { above: self.list.above(index).is_some(), below: self.list.below(index) != WIRE };
        let (node, below) = self.list.with_below(index);
        let before = (below.above.changes(), node.above.changes());
        let waiting = self.waiting;
        let mut ends =
            Ends::new(id, now, node.unit, (neighbours, waiting), &mut below.above, &mut node.above, &mut reports);
        let result = step(&mut *node.layer, &mut ends);
        let (inbound_below, outbound_below) = below.above.changes();
        let (inbound_above, outbound_above) = node.above.changes();
        if ((inbound_below, outbound_below), (inbound_above, outbound_above)) != before {
            let ((was_inbound_below, was_outbound_below), (was_inbound_above, was_outbound_above)) = before;
            // Who is given something has work; who waits for room has some.
            let gave_down = outbound_below.given != was_outbound_below.given;
            let gave_up = inbound_above.given != was_inbound_above.given;
            let below_wakes = gave_down
                || inbound_below.given != was_inbound_below.given
                || inbound_below.taken != was_inbound_below.taken && below.above.inbound.take_asked();
            let above_wakes = gave_up
                || outbound_above.given != was_outbound_above.given
                || outbound_above.taken != was_outbound_above.taken && node.above.outbound.take_asked();
            // What it did may let it do more, if there is more.
            let again = !below.above.inbound.is_empty() || !node.above.outbound.is_empty();
            let below = self.list.below(index);
            self.given = if gave_up { self.list.above(index) } else { Some(below).filter(|_| gave_down) };
            if below_wakes {
                self.wake(below);
            }
            if above_wakes {
                self.wake_above(index);
            }
            if again {
                self.wake(index);
            }
        }
        (result, reports)
    }

    fn handle_reports(&mut self, index: usize, now: Instant, reports: Vec<Report>) {
        let id = self.list.id(index);
        for report in reports {
            match report {
                Report::Ready => {
                    self.log_change(format_args!("layer {id} is ready"));
                    self.measure();
                    self.events.push_back(Event::Ready(id));
                }
                Report::Asked => {
                    self.log_change(format_args!("layer {id} asks the application"));
                    // Of a question that was answered before it was told nobody is to hear.
                    self.events.retain(|event| !matches!(event, Event::Asked(asked) if *asked == id));
                    self.events.push_back(Event::Asked(id));
                    self.skip_to_loss();
                }
                // It is asked when all of its reports have been read.
                Report::Waits => {}
                Report::Ended => self.log_change(format_args!("layer {id} ended")),
                Report::Truncated(error) => {
                    self.log_change(format_args!("layer {id} is cut off: {error}"));
                    let loss = self.loss_of(index, error);
                    self.fate.truncate(loss);
                }
                Report::StopWanted => {
                    let innermost = self.stoppable_above(index).is_none();
                    let stopping = self.list.node(index).state == NodeState::Stopping;
                    // A layer does not refuse what it asked for itself; if it did, it would merely stay.
                    if innermost && !stopping && self.order_stop(index, now, Stop::default()).is_ok() {
                        self.unacknowledged.push(id);
                    }
                }
                Report::Stopped(answer) => {
                    self.peel(index);
                    self.leave_end(id, Departure::Stopped(answer));
                    self.log_change(format_args!("layer {id} is peeled ({answer:?})"));
                    self.events.push_back(Event::Stopped(id, answer));
                    return;
                }
                Report::Insert(layer) => {
                    if !self.insert_below(index, now, layer) {
                        return;
                    }
                }
                Report::Become(layer) => {
                    let node = self.list.node_mut(index);
                    node.layer = layer;
                    node.clock = None;
                    self.begin(index, now);
                    self.log_change(format_args!("layer {id} has changed its kind"));
                    self.tell_opened(id);
                    return;
                }
            }
        }
    }

    /// Whether there was room for one more.
    fn insert_below(&mut self, index: usize, now: Instant, layer: Box<dyn Layer>) -> bool {
        if let Err(error) = self.check_depth() {
            self.fail(index, now, Failure::lose(LayerError::new(LayerErrorKind::Limit, error.to_string())));
            return false;
        }
        let new = self.list.insert_below(index, layer, self.limits.buffer);
        self.begin(new, now);
        true
    }

    /// A layer that has just come to its place is told so.
    pub(super) fn begin(&mut self, index: usize, now: Instant) {
        self.measure();
        self.wake(index);
        self.tell_depth(index);
        self.call(index, now, Layer::attach);
        if self.list.contains(index) {
            self.ask_awaited(index);
        }
    }

    fn tell_depth(&mut self, index: usize) {
        let list = &mut self.list;
        if list.node_mut(index).layer.depth().is_some() {
            let name = list.node(index).layer.name();
            let below = list.outer_to_inner().take_while(|&other| other != index);
            let below = below.filter(|&other| list.node(other).layer.name() == name).count();
            if let Some(depth) = list.node_mut(index).layer.depth() {
                *depth = self.outside + below;
            }
        }
    }

    pub(super) fn order_stop(&mut self, index: usize, now: Instant, stop: Stop) -> Result<(), CommandError> {
        let id = self.list.id(index);
        let (result, reports) = self.with_ends(index, now, |layer, ends| layer.stop(&stop, ends));
        result.map_err(|error| CommandErrorKind::Refused(id, error))?;
        debug_assert!(reports.is_empty(), "a layer reports when it meets the order, not when it hears of it");
        self.list.node_mut(index).state = NodeState::Stopping;
        self.ask_awaited(index);
        self.app().outbound.push_mark(Order::Stop(id));
        self.wake(self.list.innermost());
        Ok(())
    }

    pub(super) fn order_detach(&mut self, index: usize, now: Instant) -> Result<(), CommandError> {
        let id = self.list.id(index);
        let (result, reports) = self.with_ends(index, now, Layer::detach);
        result.map_err(|error| CommandErrorKind::Refused(id, error))?;
        debug_assert!(reports.is_empty(), "a layer that leaves has nothing to report");
        log::debug!("layer {id} taken out");
        self.peel(index);
        self.events.push_back(Event::Stopped(id, PeerAnswer::NotNeeded));
        Ok(())
    }

    pub(super) fn peel(&mut self, index: usize) {
        let (id, below) = (self.list.id(index), self.list.below(index));
        let layer = self.list.peel(index);
        self.looked_at = 0;
        if self.events.iter().any(|event| matches!(event, Event::Ready(ready) if *ready == id)) {
            self.departed.keep(id, layer);
        }
        self.wake(below);
        self.wake_above(below);
        self.measure();
    }

    /// Notes how a layer went, for whoever reads its end, if it has left one.
    fn leave_end(&mut self, id: LayerId, departure: Departure) {
        if self.has_end(id) {
            self.departed.leave_end(id, departure);
        }
    }

    /// Whether the end of this layer is still to be read, wherever it waits.
    pub(super) fn has_end(&self, id: LayerId) -> bool {
        let mut ends = self.list.upwards(WIRE).flat_map(|index| self.list.node(index).above.inbound.marks());
        ends.any(|&end| end == End::Layer(id))
    }

    pub(super) fn fail(&mut self, index: usize, now: Instant, failure: Failure) {
        let id = self.list.id(index);
        let Failure { error, consequence } = failure;
        // What was to leave through this layer must not leave without it.
        if consequence == Consequence::Peel && self.stoppable_above(index).is_none() && self.lost().is_none() {
            // Orders to others stay: the application gave them, whatever becomes of the bytes before them.
            let dropped = self.clear_outbound(index, |&order| ![Order::Finish(id), Order::Stop(id)].contains(&order));
            self.list.node_mut(index).above.inbound.push_mark(End::Layer(id));
            self.peel(index);
            self.leave_end(id, Departure::Failed(error.clone()));
            self.log_change(format_args!("layer {id} failed and is peeled: {error}"));
            self.unacknowledged.push(id);
            self.events.push_back(Event::Failed { layer: id, error, dropped });
            return;
        }

        let loss = self.loss_of(index, error.clone());
        if self.fate.fail(id, loss, self.wire_output == Side::Closed, now) {
            self.wire_input = Side::Closed;
        }
        self.drop_outbound(index);
        let node = self.list.node_mut(index);
        node.state = NodeState::Failed;
        node.clock = None;
        node.above.inbound.push_mark(End::Lost);
        self.wake_above(index);
        self.log_change(format_args!("layer {id} failed: {error}"));
        if consequence == Consequence::Abort {
            self.drop_outbound(WIRE);
            self.wire_output = Side::Closed;
        }
        let below = self.list.below(index);
        if self.list.node(below).state != NodeState::Failed && self.wire_output != Side::Closed {
            // Layers below are sound: they end as in any close, behind the alert.
            self.list.node_mut(below).above.outbound.push_mark(Order::Close);
            self.wake(below);
        }
        self.skip_to_loss();
    }

    /// A layer that waits for an answer takes nothing of what its peer sends, so a loss would stand behind that for ever. With
    /// the loss its question is void, and so is what came behind it.
    fn skip_to_loss(&mut self) {
        let asks = |&index: &usize| self.list.node(index).layer.asks();
        if self.lost().is_none() {
            return;
        }
        let Some(asking) = self.list.inner_to_outer().find(asks) else { return };
        let below: Vec<usize> = self.list.upwards(WIRE).take_while(|&index| index != asking).collect();
        for index in below {
            self.list.node_mut(index).above.inbound.clear(|end| *end == End::Lost);
            self.wake_above(index);
        }
        self.forget_ends();
    }

    fn loss_of(&self, index: usize, error: LayerError) -> Reason {
        let description = Described(&*self.list.node(index).layer).to_string();
        self.reason(Reason::layer(LayerLoss { layer: self.list.id(index), description, error }))
    }

    /// A reason of this stack.
    pub(super) fn reason(&self, reason: Reason) -> Reason {
        reason.on(self.label.clone())
    }

    /// Ends everything from the wire upwards, for `reason` if there was none before.
    pub(super) fn lose_wire(&mut self, now: Instant, reason: Reason) {
        let was_closed = std::mem::replace(&mut self.wire_output, Side::Closed) == Side::Closed;
        let reason = self.reason(reason);
        let change = format!("the connection is lost: {reason}");
        let is_first = self.fate.lose_wire(reason, was_closed);
        self.drop_outbound(WIRE);
        if is_first {
            self.wire_input = Side::Closed;
            self.wire().inbound.push_mark(End::Lost);
            self.wake_above(WIRE);
            self.skip_to_loss();
        }
        self.log_change(format_args!("{change}"));
        self.settle(now);
    }

    /// Drops what is on its way down above this layer, in all boundaries, but for the orders that `keep` names; the
    /// number of bytes dropped.
    pub(super) fn clear_outbound(&mut self, index: usize, keep: impl Fn(&Order) -> bool) -> usize {
        let boundaries: Vec<usize> = self.list.upwards(index).collect();
        boundaries.into_iter().map(|index| self.list.node_mut(index).above.outbound.clear(&keep)).sum()
    }

    /// Drops, for a loss, all that is on its way down above this layer.
    pub(super) fn drop_outbound(&mut self, index: usize) {
        if self.list.upwards(index).any(|index| !self.list.node(index).above.outbound.is_empty()) {
            self.fate.drop_unsent();
        }
        self.clear_outbound(index, |_| false);
    }

    /// Computes anew how large a write may be at each layer to make one unit in every layer below it.
    pub(super) fn measure(&mut self) {
        let mut unit = usize::MAX;
        let mut cursor = self.list.above(WIRE);
        while let Some(index) = cursor {
            let node = self.list.node_mut(index);
            node.unit = unit;
            let framing = node.layer.framing();
            unit = unit.saturating_sub(framing.overhead).min(framing.largest.unwrap_or(usize::MAX));
            cursor = self.list.above(index);
        }
    }

    pub(super) fn is_due(&self, index: usize, now: Instant) -> bool {
        self.deadline(index).is_some_and(|deadline| deadline <= now)
    }

    /// When the layer itself or its peer is due.
    pub(super) fn deadline(&self, index: usize) -> Option<Instant> {
        [self.own_deadline(index), self.overdue_at(index)].into_iter().flatten().min()
    }

    fn own_deadline(&self, index: usize) -> Option<Instant> {
        let node = self.list.node(index);
        node.layer.deadline().filter(|_| node.state != NodeState::Failed)
    }

    fn is_own_deadline_due(&self, index: usize, now: Instant) -> bool {
        self.own_deadline(index).is_some_and(|deadline| deadline <= now)
    }

    pub(super) fn wake(&mut self, index: usize) {
        self.list.wake(index);
    }

    pub(super) fn wake_above(&mut self, index: usize) {
        if let Some(above) = self.list.above(index) {
            self.wake(above);
        }
    }

    pub(super) fn release_idle(&mut self) {
        self.list.boundaries_mut().for_each(Boundary::release_idle);
    }

    pub(super) fn wire(&mut self) -> &mut Boundary {
        &mut self.list.node_mut(WIRE).above
    }

    pub(super) fn app(&mut self) -> &mut Boundary {
        let innermost = self.list.innermost();
        &mut self.list.node_mut(innermost).above
    }
}

/// Work that waits for the next turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfinished {
    pub(super) since: Instant,
    /// How many there were since something last came from outside.
    turns: usize,
}

/// So many calls of layers make a turn, some milliseconds: more than a full read needs at any usual depth.
const CALLS_PER_TURN: usize = 1024;

/// With as many, there are more calls than what rests in the boundaries can need, in any stack that does what it should.
const MAX_TURNS: usize = (1 << 21) / CALLS_PER_TURN;
