//! What other sides make an endpoint hold, and what its own user does.

use super::*;

fn answers(count: usize) -> Backlog {
    let mut backlog = Backlog::default();
    (0..count).for_each(|_| backlog.push(vec![7; 1_000]));
    backlog
}

// UC-STR-014
#[test]
fn answers_that_nobody_takes_are_held_within_the_budget_and_own_words_are_not_counted() {
    let mut pair = Pair::new(|_, _| false);
    pair.ends[1] = Endpoint::new(EndpointConfig { held_bytes: 100_000, ..sealed(2) }, 2);
    let calls = [pair.connect(), pair.connect()];
    pair.run(100);
    pair.log.clear();
    let theirs = |pair: &Pair, call: Handle| {
        let id = pair.ends[0].connection(call).unwrap().remote_id().unwrap();
        pair.ends[1].connections().find(|(_, connection)| connection.local_id() == id).unwrap().0
    };
    let [greedy, modest] = calls.map(|call| theirs(&pair, call));
    let end = &mut pair.ends[1];

    let mut few = answers(30);
    assert!(!end.submit_answers(greedy, 1, &mut few, 20_000));
    assert_eq!((few.len(), few.bytes(), end.held_bytes), (10, 10_000, 30_000));
    assert_eq!(end.connection(greedy).unwrap().owed_bytes(), 20_000);
    end.submit(modest, 0, vec![7; 200_000], SendOptions::default()).unwrap();
    assert_eq!(end.held_bytes, 30_000, "what our own user says is not theirs");
    assert!(end.submit_answers(modest, 1, &mut answers(20), 20_000));
    let mut many = answers(90);
    assert!(!end.submit_answers(greedy, 1, &mut many, 20_000));
    assert_eq!(end.held_bytes, 130_000);

    // Any packet is a moment to look.
    let call = calls[1];
    pair.ends[0].submit(call, 0, b"still fine".to_vec(), SendOptions::default()).unwrap();
    let mut packet = Vec::new();
    let transmit = pair.ends[0].poll_transmit(pair.now, &mut packet).unwrap();
    let end = &mut pair.ends[1];
    end.handle_datagram(pair.now, Path::to(address(0)), &mut packet[..transmit.length]);
    assert_eq!((end.statistics().closed_for_memory, end.connection(greedy).unwrap().is_open()), (1, false));
    assert!(end.submit_answers(greedy, 1, &mut many, 20_000), "nobody is there to have them");
    assert_eq!((many.len(), end.connection(greedy).unwrap().owed_bytes()), (0, 0));
    pair.run(2_000);
    pair.log.retain(|line| {
        line.contains("still fine") || line.contains("200000") || line.starts_with("a Closed")
    });
    pair.log.sort();
    pair.expect(&[
        "a Closed(ByPeer { code: \"busy\", reason: \"no memory is left for what you send and do not take\" })",
        "a got 0/1 200000 bytes",
        "b got 0/1 still fine",
    ]);
    assert_eq!(pair.ends[1].held_bytes, 0, "all was taken");
}

#[test]
fn an_ack_and_the_end_of_a_connection_free_what_was_owed() {
    let mut pair = Pair::new(|_, _| false);
    let call = pair.connect();
    pair.run(100);
    let (theirs, _) = pair.ends[1].connections().next().unwrap();
    pair.ends[1].submit_answers(theirs, 1, &mut answers(20), 100_000);
    assert_eq!(pair.ends[1].held_bytes, 20_000);
    pair.run(1_000);
    assert_eq!(pair.ends[1].held_bytes, 0);
    pair.ends[1].submit_answers(theirs, 1, &mut answers(20), 10_000);
    assert_eq!(pair.ends[1].held_bytes, 20_000);
    pair.ends[1].abort(pair.now, theirs, Closed::ByUs);
    pair.ends[0].abort(pair.now, call, Closed::ByUs);
    pair.flush();
    assert_eq!(pair.ends[1].held_bytes, 0);
}
