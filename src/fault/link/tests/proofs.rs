//! What the bad link must prove of itself: that its numbers come out as configured, that its verdicts depend
//! on nothing but their keys, and that nothing breaks it.

use super::*;
use crate::fault::{Fault, Rule};
use crate::random::Random;

#[test]
fn effective_shares_are_the_configured_ones() {
    let plan = "drop=20% reorder=5% duplicate=3% corrupt=1% truncate=2%";
    let mut run = Run::new(plan, Direction::Up);
    for number in 0..40_000 {
        run.send(Instant::from_nanos(number * 1_000), path(1), &numbered(number));
    }
    let report = Report::new(&[&run.link]);
    for row in &report.rows {
        let counts = row.cells[0].unwrap();
        let share = f64::from(row.rule.fault.share_ppm().unwrap()) / 1e6;
        let deviation = (counts.acted as f64 - counts.asked as f64 * share).abs();
        // Four standard deviations: one such test in 16 000 would fail by chance, but the seed is fixed.
        assert!(deviation < 4.0 * (counts.asked as f64 * share * (1.0 - share)).sqrt(), "{report}");
    }
}

#[test]
fn the_same_seed_gives_the_same_verdicts_and_another_gives_others() {
    let plan = "drop=30% jitter=5ms duplicate=10% corrupt=10% truncate=10% reorder=10%";
    assert_eq!(fates(plan, 0..500), fates(plan, 0..500));
    let mut other = Link::new(plan.parse().unwrap(), 8, Direction::Up);
    (0..500).for_each(|number| other.handle_datagram(Instant::ZERO, path(1), &numbered(number)));
    let other: Vec<bool> = std::iter::from_fn(|| other.poll_event())
        .map(|event| matches!(event, Event::Decided(Verdict { fate: Fate::Lost(_), .. })))
        .collect();
    assert_ne!(other, losses(plan, 0..500));
}

#[test]
fn one_more_datagram_leaves_all_other_verdicts() {
    for plan in ["drop=30%", "burst=30%/4", "drop=10% burst=20%/3"] {
        let all = losses(plan, 0..300);
        let without_one = losses(plan, (0..300).filter(|number| *number != 100));
        assert_eq!([&all[..100], &all[101..]].concat(), without_one, "{plan}");
        let backwards = losses(plan, (0..300).rev());
        assert_eq!(all, backwards.into_iter().rev().collect::<Vec<_>>(), "{plan}");
    }
}

#[test]
fn one_rule_fewer_leaves_the_verdicts_of_the_others() {
    let corrupted = |plan: &str| -> Vec<bool> {
        let flipped = |fate: &Fate| matches!(fate, Fate::Passes(Passage { flipped_bits: 1.., .. }));
        fates(plan, 0..500).iter().map(flipped).collect()
    };
    assert_eq!(corrupted("delay=1ms duplicate=50% corrupt=10%"), corrupted("corrupt=10%"));
    let (with, alone) = (losses("burst=20%/3 drop=10%", 0..500), losses("drop=10%", 0..500));
    assert!(with.iter().zip(&alone).all(|(with, alone)| *with || !alone));
}

#[test]
fn a_repeated_datagram_gets_a_draw_of_its_own() {
    for datagram in [numbered(1), b"{\"v\":1,\"f\":[{\"t\":\"hello\"}]}".to_vec()] {
        let mut run = Run::new("drop=50%", Direction::Up);
        for ms in 0..200 {
            run.send_at_ms(ms, &datagram);
        }
        assert!((70..130).contains(&run.rule(0).acted), "{:?}", run.rule(0));
    }
}

#[test]
fn foreign_bytes_are_known_by_their_ordinal_in_their_flow() {
    let lost = |payload: u8| {
        let mut run = Run::new("drop=30%", Direction::Up);
        for number in 0..100_u64 {
            run.send(Instant::from_nanos(number), path(1 + (number % 2) as u16), &[payload]);
        }
        run.fates
    };
    assert_eq!(lost(1), lost(2));
    let odd_and_even: Vec<Vec<Fate>> =
        [0, 1].map(|flow| lost(1).into_iter().skip(flow).step_by(2).collect()).into();
    assert_ne!(
        odd_and_even[0].iter().map(is_lost).collect::<Vec<_>>(),
        odd_and_even[1].iter().map(is_lost).collect::<Vec<_>>()
    );
}

#[test]
fn outages_take_their_share_of_time_whatever_the_traffic() {
    let mut busy = Run::new("outage=10%/100ms", Direction::Up);
    let mut quiet = Run::new("outage=10%/100ms", Direction::Up);
    for ms in (0..1_000_000).step_by(5) {
        busy.send_at_ms(ms, b"x");
        if ms % 50 == 0 {
            quiet.send_at_ms(ms, b"y");
        }
    }
    let seen_by_both: Vec<bool> = busy.fates.iter().step_by(10).map(is_lost).collect();
    assert_eq!(seen_by_both, quiet.fates.iter().map(is_lost).collect::<Vec<_>>());
    assert!((87_000..113_000).contains(&busy.rule(0).effective_ppm()), "{:?}", busy.rule(0));
    let outages = busy.fates.windows(2).filter(|pair| !is_lost(&pair[0]) && is_lost(&pair[1])).count() as u64;
    let mean_ms = 5 * busy.rule(0).acted / outages;
    assert!((85..115).contains(&mean_ms), "{mean_ms}");
}

#[test]
fn listening_changes_no_verdict() {
    let run = |wanted| {
        let mut link = Link::new("drop=50% corrupt=20%".parse().unwrap(), 7, Direction::Up);
        link.set_verdicts_wanted(wanted);
        (0..200).for_each(|number| link.handle_datagram(Instant::ZERO, path(1), &numbered(number)));
        let mut buffer = Vec::new();
        std::iter::from_fn(|| link.poll_transmit(Instant::ZERO, &mut buffer).map(|_| buffer.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn no_bytes_and_no_numbers_make_it_panic_or_lose_count() {
    let mut random = Random::from_seed(7);
    for seed in 0..200 {
        let rules = (0..random.below(8)).map(|_| any_rule(&mut random)).collect();
        let mut link = Link::new(LinkPlan { rules, ..LinkPlan::default() }, seed, Direction::Up);
        let (mut buffer, mut copies) = (Vec::new(), 0);
        let mut now = Instant::from_nanos(random.next_u64() >> random.below(64));
        for _ in 0..50 {
            let mut datagram = numbered(random.next_u64() >> random.below(64));
            datagram.truncate(random.below(80) as usize);
            link.handle_datagram(now, path(random.below(3) as u16), &datagram);
            now += Duration::from_nanos(random.next_u64() >> random.below(64));
            while link.poll_transmit(now, &mut buffer).is_some() {}
            while let Some(event) = link.poll_event() {
                let Event::Decided(Verdict { fate: Fate::Passes(passage), .. }) = event else {
                    continue;
                };
                copies += u64::from(passage.duplicated);
            }
            assert!(link.poll_timeout().is_none_or(|(due, _)| due >= Instant::ZERO));
        }
        let counts = link.statistics();
        assert_eq!(
            counts.received + copies,
            counts.lost + counts.delivered + counts.under_way,
            "{}",
            link.plan()
        );
    }
}

/// A rule with numbers of any size, sensible or not.
fn any_rule(random: &mut Random) -> Rule {
    let share_ppm = random.below(1_200_000) as u32;
    let mut any = || random.next_u64() >> random.below(64);
    let mut time = || Duration::from_nanos(any());
    let (first, second, from, until) = (time(), time(), time(), time());
    let (small, large) = (any() as u32, any());
    let fault = match random.below(13) {
        0 => Fault::Drop { share_ppm },
        1 => Fault::Burst { share_ppm, mean_packets: small },
        2 => Fault::Outage { share_ppm, mean: first },
        3 => Fault::Delay { delay: first },
        4 => Fault::Jitter { most: first },
        5 => Fault::Reorder { share_ppm, hold: first },
        6 => Fault::Duplicate { share_ppm },
        7 => Fault::Corrupt { share_ppm, bits: small as u8 },
        8 => Fault::Truncate { share_ppm },
        9 => Fault::Rate { bits_per_s: large, queue_bytes: u64::from(small) },
        10 => Fault::Mtu { bytes: small },
        11 => Fault::Blackout { length: first, every: Some(second).filter(|_| small % 2 == 0) },
        _ => Fault::Rebind { every: Some(first).filter(|_| small % 2 == 0) },
    };
    Rule { from, until: Some(until).filter(|_| large % 2 == 0), ..fault.always() }
}
