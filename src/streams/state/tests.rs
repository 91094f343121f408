//! Every sequence of inputs, on a clock and with chance of the test's own.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::super::policy::{Conceal, Retry};
use super::{Input, Machine, Output, State};

/// Where each state may lead, with one input, and what is told then.
const LEGAL: &[(State, State, &[Output])] = {
    use Output::{AllRetriesFailed as Gone, Backoff as Wait, Closed as End, Connected as Up, Disconnected as Down};
    use Output::{Connecting as Try, Unreachable as No};
    use State::{Backoff, Closed, Connected, Connecting, Failed, Idle};
    const SOME: Duration = Duration::ZERO;
    &[
        (Idle, Connecting, &[Try(0)]),
        (Failed, Connecting, &[Try(0)]),
        (Connecting, Connected, &[Up]),
        (Connecting, Idle, &[Down]),
        (Connecting, Backoff, &[No, Wait(SOME)]),
        (Connecting, Failed, &[No, Gone]),
        (Connected, Idle, &[Down]),
        (Connected, Backoff, &[Down, Wait(SOME)]),
        (Connected, Failed, &[Down, Gone]),
        (Backoff, Connecting, &[Try(0)]),
        (Backoff, Idle, &[Down]),
        (Backoff, Failed, &[Gone]),
        (Idle, Closed, &[End]),
        (Connecting, Closed, &[End]),
        (Connected, Closed, &[Down, End]),
        (Backoff, Closed, &[End]),
        (Failed, Closed, &[End]),
    ]
};

fn is_legal(from: State, to: State, told: &[Output]) -> bool {
    let kinds = |outputs: &[Output]| outputs.iter().map(std::mem::discriminant).collect::<Vec<_>>();
    from == to && told.is_empty()
        || LEGAL.iter().any(|(before, behind, known)| (*before, *behind) == (from, to) && kinds(known) == kinds(told))
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        2 => Just(Input::Connect),
        3 => Just(Input::Send),
        4 => Just(Input::Established),
        6 => proptest::option::of(0_u64..100_000).prop_map(|ms| Input::Failed { retry_after: ms.map(Duration::from_millis) }),
        2 => Just(Input::Done),
        1 => Just(Input::Disconnect),
        1 => Just(Input::OutOfTime),
        6 => Just(Input::Due),
    ]
}

fn retry() -> impl Strategy<Value = Option<Retry>> {
    let conceal = prop_oneof![(0_u16..12).prop_map(Conceal::Times), Just(Conceal::Always)];
    let retry = (vec(0_u64..100_000, 1..12), conceal, any::<u8>(), 0_u64..20_000).prop_map(
        |(table, conceal, jitter, stable)| {
            let table = table.into_iter().map(Duration::from_millis);
            Retry::new(table).conceal(conceal).jitter_percent(jitter).stable_after(Duration::from_millis(stable))
        },
    );
    proptest::option::weighted(0.9, retry)
}

/// What the machine is to do with failures, said in another way: it keeps the whole row, and counts it each time.
#[derive(Default)]
struct Row {
    failures: usize,
    stood_at: Option<Instant>,
}

impl Row {
    /// The delay behind one more failure, without jitter; `None` when there is no further attempt.
    fn fail(&mut self, retry: Option<&Retry>) -> Option<Duration> {
        let retry = retry?;
        self.failures += 1;
        let is_concealed = match retry.conceal {
            Conceal::Always => true,
            Conceal::Times(times) => self.failures <= usize::from(times),
        };
        is_concealed.then(|| retry.backoff[self.failures.min(retry.backoff.len()) - 1])
    }
}

proptest! {
    /// Whatever happens in whatever order: only legal steps, delays exact, failed told once, and always a way on.
    #[test]
    fn every_sequence_of_events(
        retry in retry(),
        is_opportunistic in any::<bool>(),
        random in any::<u32>(),
        inputs in vec((input(), 0_u64..30_000), 1..200),
    ) {
        let mut machine = Machine::new(retry.clone(), is_opportunistic);
        let mut now = Instant::now();
        let mut row = Row::default();
        for (input, passed) in inputs {
            now += Duration::from_millis(passed);
            let from = machine.state();
            let told = machine.handle(input, now, || random);
            let to = machine.state();
            prop_assert!(is_legal(from, to, &told), "{from} --{input:?}--> {to}: {told:?}");
            prop_assert_eq!(told.contains(&Output::AllRetriesFailed), to == State::Failed && from != State::Failed);
            match (from, input) {
                (State::Idle | State::Failed, Input::Connect | Input::Send)
                | (State::Connecting | State::Backoff, Input::Connect) => row.failures = 0,
                (State::Connecting, Input::Established) => {
                    row.stood_at = Some(now);
                    if retry.as_ref().is_none_or(|retry| retry.stable_after.is_zero()) {
                        row.failures = 0;
                    }
                }
                (State::Connected, Input::Failed { .. }) => {
                    let stood = now - row.stood_at.expect("it stood");
                    if retry.as_ref().is_none_or(|retry| stood >= retry.stable_after) {
                        row.failures = 0;
                    }
                }
                _ => {}
            }
            let is_lost = matches!(from, State::Connecting | State::Connected) && matches!(input, Input::Failed { .. });
            if is_lost && !(is_opportunistic && from == State::Connected) {
                let Input::Failed { retry_after } = input else { unreachable!() };
                let expected = row.fail(retry.as_ref());
                let delay = told.iter().find_map(|output| match output {
                    Output::Backoff(delay) => Some(*delay),
                    _ => None,
                });
                prop_assert_eq!(delay.is_some(), expected.is_some());
                if let (Some(delay), Some(table)) = (delay, expected) {
                    let most = table * u32::from(retry.as_ref().unwrap().jitter_percent) / 100 + table;
                    let asked = retry_after.unwrap_or_default();
                    prop_assert!(delay >= table.max(asked) && delay <= most.max(asked), "{delay:?}: {table:?} to {most:?}");
                    prop_assert_eq!(machine.deadline(), Some(now + delay));
                }
            }
            prop_assert!(goes_on(machine.clone(), now), "no way on from {to}");
        }
        machine.handle(Input::Close, now, || random);
        prop_assert_eq!(machine.state(), State::Closed);
        prop_assert!(machine.handle(Input::Connect, now, || random).is_empty());
    }
}

/// Whether a stream in this state can come to stand.
fn goes_on(mut machine: Machine, now: Instant) -> bool {
    let at = machine.deadline().unwrap_or(now);
    for input in [Input::Due, Input::Connect, Input::Established] {
        machine.handle(input, at, || 0);
    }
    machine.state() == State::Connected
}

#[test]
fn each_state_answers_each_input() {
    let now = Instant::now();
    let retry = Retry::new([Duration::from_secs(1)]).conceal(Conceal::Always);
    let to = |inputs: &[Input], retry: Option<Retry>| {
        let mut machine = Machine::new(retry, false);
        for input in inputs {
            machine.handle(*input, now, || 0);
        }
        machine
    };
    let failed = Input::Failed { retry_after: None };
    let all = [
        to(&[], None),
        to(&[Input::Connect], None),
        to(&[Input::Connect, Input::Established], None),
        to(&[Input::Connect, failed], Some(retry)),
        to(&[Input::Connect, failed], None),
        to(&[Input::Close], None),
    ];
    let states = all.each_ref().map(Machine::state);
    use State::{Backoff, Closed, Connected, Connecting, Failed, Idle};
    assert_eq!(states, [Idle, Connecting, Connected, Backoff, Failed, Closed]);
    let mut seen = Vec::new();
    for machine in all {
        use Input::{Close, Connect, Disconnect, Done, Due, Established, OutOfTime, Send};
        for input in [Connect, Send, Established, failed, Done, Disconnect, OutOfTime, Due, Close] {
            let mut machine = machine.clone();
            let from = machine.state();
            let told = machine.handle(input, now + Duration::from_secs(1), || 0);
            assert!(is_legal(from, machine.state(), &told), "{from} --{input:?}--> {}: {told:?}", machine.state());
            seen.push((from, machine.state()));
        }
    }
    for (from, to, _) in LEGAL {
        let is_by_table = matches!((from, to), (Connecting | Connected, Backoff));
        assert!(is_by_table || seen.contains(&(*from, *to)), "nothing leads from {from} to {to}");
    }
}

#[test]
fn conceal_is_one_attempt_and_so_many_more() {
    for conceal in [0, 1, 5, 300] {
        let retry =
            Retry::new([100, 200, 300].map(Duration::from_millis)).conceal(Conceal::Times(conceal)).jitter_percent(0);
        let mut machine = Machine::new(Some(retry), false);
        let mut now = Instant::now();
        let mut waited = Vec::new();
        machine.handle(Input::Connect, now, || 7);
        for _ in 0..1000 {
            machine.handle(Input::Failed { retry_after: None }, now, || 7);
            let Some(deadline) = machine.deadline() else { break };
            waited.push((deadline - now).as_millis());
            assert!(machine.handle(Input::Due, deadline - Duration::from_nanos(1), || 7).is_empty(), "not earlier");
            now = deadline;
            machine.handle(Input::Due, now, || 7);
        }
        assert_eq!(machine.state(), State::Failed);
        let expected: Vec<_> = [100, 200].into_iter().chain(std::iter::repeat(300)).take(conceal.into()).collect();
        assert_eq!(waited, expected);
    }
}

#[test]
fn jitter_only_adds_and_all_of_it_at_most() {
    let second = Duration::from_secs(1);
    for (percent, random, expected) in
        [(30, 0, 1_000_000), (30, u32::MAX, 1_299_999), (0, u32::MAX, 1_000_000), (100, 1 << 31, 1_500_000)]
    {
        let retry = Retry::new([second]).conceal(Conceal::Always).jitter_percent(percent);
        let mut machine = Machine::new(Some(retry), false);
        let now = Instant::now();
        machine.handle(Input::Connect, now, || random);
        machine.handle(Input::Failed { retry_after: None }, now, || random);
        assert_eq!((machine.deadline().unwrap() - now).as_micros(), expected, "{percent} % of {random}");
    }
}

#[test]
fn what_the_peer_asks_for_is_waited_for_but_not_for_ever() {
    for (asked, expected) in [(0, 10), (3, 10), (60, 60), (86_400, 86_400), (u64::MAX, 86_400)] {
        let retry = Retry::new([Duration::from_secs(10)]).conceal(Conceal::Times(1)).jitter_percent(0);
        let mut machine = Machine::new(Some(retry), false);
        let now = Instant::now();
        machine.handle(Input::Connect, now, || 0);
        let told = machine.handle(Input::Failed { retry_after: Some(Duration::from_secs(asked)) }, now, || 0);
        assert_eq!(told, [Output::Unreachable, Output::Backoff(Duration::from_secs(expected))]);
    }
}
