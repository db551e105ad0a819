//! The two ledgers give the same answers to the same jobs, whatever the jobs, however they are batched, whenever the file is
//! closed and opened again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(feature = "io")]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use udpchat::chat::{MessageId, Party, RefusalCode, Sealed};
use udpchat::ledger::{
    Ban, BanTarget, Draft, Foundation, Identity, Job, LetterFate, LogKey, MailboxBounds, MemoryLedger, Proof,
    Request, Room,
};
use udpchat::secure::{PublicKey, Stretched};
use udpchat::store::database::Database;
use udpchat::time::WallTime;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn memory_and_file_answer_alike(batches in vec((vec((0..100_i64, request()), 1..12), any::<bool>()), 1..12)) {
        let folder = Folder::new();
        let (mut database, foundation) = Database::open(&folder.0).unwrap();
        let mut memory = MemoryLedger::new(foundation.log_id.clone(), usize::MAX);
        let run = |foundation: &Foundation| foundation.runs.last().unwrap().id.clone();
        memory.begin_run(run(&foundation));
        prop_assert_eq!(&memory.foundation(), &foundation);
        let mut ticket = 0;
        for (batch, closes) in batches {
            let jobs: Vec<Job> = batch
                .into_iter()
                .map(|(second, request)| {
                    ticket += 1;
                    Job { ticket, at: WallTime::from_unix_micros(second * 1_000_000), request }
                })
                .collect();
            let expected: Vec<_> = jobs.iter().map(|job| memory.apply(job)).collect();
            prop_assert_eq!(database.apply_batch(&jobs), expected, "{:#?}", jobs);
            if closes {
                drop(database);
                let opened = Database::open(&folder.0).unwrap();
                memory.begin_run(run(&opened.1));
                prop_assert_eq!(opened.1, memory.foundation());
                database = opened.0;
            }
        }
    }
}

/// Few different values of everything, so that they meet.
fn request() -> impl Strategy<Value = Request> {
    let nick = || {
        select(vec!["ana", "Ana", "bob", "ÇA", "ça", "", "аса", "aca", "ian", "Ian", "lan", "ana-2", "anа"])
            .prop_map(str::to_owned)
    };
    let room = || select(vec!["#sala", "#b", "#SALA", "#sа1а", "#sa1a", "#ab"]).prop_map(str::to_owned);
    let numbers = || prop_oneof![0..40_u64, Just(u64::MAX)];
    let log = || {
        prop_oneof![
            Just(LogKey::Everyone),
            (1..4_u64).prop_map(LogKey::Room),
            identity().prop_map(LogKey::Mailbox)
        ]
    };
    let bounds = (0..4_u64, 0..40_u64).prop_map(|(letters, bytes)| MailboxBounds { letters, bytes });
    let sizes = || prop_oneof![0..60_usize, Just(usize::MAX)];
    let fate = select(vec![
        LetterFate::Delivered,
        LetterFate::Refused(RefusalCode::Muted),
        LetterFate::Refused(RefusalCode::Other),
    ]);
    prop_oneof![
        2 => (proof(), nick()).prop_map(|(proof, nick)| Request::Enter { proof, nick }),
        1 => (identity(), nick()).prop_map(|(identity, nick)| Request::TakeName { identity, nick }),
        1 => nick().prop_map(|nick| Request::FindHolder { nick }),
        1 => (room(), option::of(identity())).prop_map(|(name, creator)| Request::OpenRoom { name, creator }),
        1 => saved_room(room()).prop_map(Request::SaveRoom),
        1 => (0_usize..4).prop_map(|most| Request::ListRooms { most }),
        1 => (1_u64..4).prop_map(|number| Request::ForgetRoom { number }),
        4 => (log(), draft()).prop_map(|(log, draft)| Request::AppendLine { log, draft: draft.into() }),
        6 => (nick(), draft(), bounds).prop_map(|(nick, draft, bounds)| Request::AppendLetter { nick, draft: draft.into(), bounds }),
        3 => (log(), numbers(), sizes(), sizes()).prop_map(|(log, after, most_bytes, most_entries)| {
            Request::Read { log, after, most_bytes, most_entries }
        }),
        2 => (log(), numbers()).prop_map(|(log, newest)| Request::Seek { log, newest }),
        3 => (identity(), numbers(), fate).prop_map(|(mailbox, pos, fate)| Request::Settle { mailbox, pos, fate }),
        1 => (0..100_i64).prop_map(|second| Request::Expire { before: WallTime::from_unix_micros(second * 1_000_000) }),
        1 => ban(nick()).prop_map(Request::Ban),
        1 => nick().prop_map(|who| Request::Unban { who }),
    ]
}

/// Tokens, and keys: one of them has a token's bytes.
fn proof() -> impl Strategy<Value = Proof> {
    let token = |text: &str| Proof::Token(text.to_owned());
    let bytes = "a".repeat(32);
    let same = PublicKey::from_bytes(bytes.as_bytes().try_into().unwrap());
    select(vec![
        token("t1"),
        token("t2"),
        token(&bytes),
        Proof::Key(same),
        Proof::Key(key(1)),
        Proof::Key(key(2)),
    ])
}

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32])
}

fn identity() -> impl Strategy<Value = Identity> {
    (1..4_u64).prop_map(Identity)
}

fn draft() -> impl Strategy<Value = Draft> {
    let id = || (0..20_u64).prop_map(|number| MessageId::new("k", number));
    let text = || select(vec!["", "oi", "você\n\0", "a longer text"]).prop_map(str::to_owned);
    let address = select(vec!["10.0.0.1:1", "[fe80::1]:65535"]).prop_map(|text| text.parse().unwrap());
    let party = (option::of(text()), option::of(text()), any::<u16>()).prop_map(|(nick, room, port)| Party {
        nick,
        room,
        ip: "::1".parse().unwrap(),
        port,
    });
    let reply_to = option::of((id(), text(), any::<i64>().prop_map(WallTime::from_unix_micros)));
    let sealed = option::of((1..3_u8, 1..3_u8, vec(any::<u8>(), 0..20)));
    let sealed = sealed.prop_map(|sealed: Option<(u8, u8, Vec<u8>)>| {
        let (from, to, message) = sealed?;
        Some(Box::new(Sealed { from: key(from), to: key(to), message: message.into() }))
    });
    (identity(), id(), text(), address, party, any::<i64>(), (text(), sealed), reply_to).prop_map(
        |(author, id, nick, address, to, sent, (text, sealed), reply_to)| {
            let sent_at = WallTime::from_unix_micros(sent);
            Draft { author, id, nick, address, to, sent_at, text, sealed, reply_to }
        },
    )
}

fn saved_room(name: impl Strategy<Value = String>) -> impl Strategy<Value = Room> {
    let words = option::of(select(vec!["", "secret"]).prop_map(str::to_owned));
    (1..4_u64, name, identity(), words, any::<[bool; 2]>(), vec(identity(), 0..3), any::<u64>()).prop_map(
        |(number, name, owner, password, [is_invite_only, is_hidden], invited, head)| {
            let topic = password.clone().unwrap_or_default();
            let password = password.map(Stretched::from_text);
            Room { number, name, owner, topic, password, is_invite_only, is_hidden, invited, head }
        },
    )
}

fn ban(who: impl Strategy<Value = String>) -> impl Strategy<Value = Ban> {
    let target = prop_oneof![
        identity().prop_map(BanTarget::Identity),
        select(vec!["10.0.0.1", "::1"]).prop_map(|ip| BanTarget::Address(ip.parse().unwrap())),
    ];
    let until = option::of(any::<i64>().prop_map(WallTime::from_unix_micros));
    (who, target, until).prop_map(|(who, target, until)| Ban {
        by: who.clone(),
        who,
        target,
        until,
        reason: String::new(),
    })
}

/// A folder for one case.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("ledger-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind only takes room.
        let _ = fs::remove_dir_all(&self.0);
    }
}
