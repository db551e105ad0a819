//! What can be wrong with a plan, and what to write instead.

use std::fmt;

use crate::wire::Kind;

use super::plan::FAULT_NAMES;
use super::quantity::QuantityError;

/// Why a text is not a plan, or a rule cannot be kept. It is always the text's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each message says what the variant means, and the fields are the texts in it"
)]
pub enum PlanError {
    UnknownFault { item: String },
    NoValue { item: String },
    NoSecondValue { item: String, example: &'static str },
    SecondValue { item: String },
    Quantity { item: String, error: QuantityError },
    Count { item: String, text: String },
    UnknownKind { name: String },
    NoSpan { item: String },
    EmptySpan { item: String },
    TwoBeginnings { item: String },
    ImpossibleRun { item: String, shortest: u32, longest: u32 },
    TooMuchOutage { item: String },
    TooShort { item: String },
}

impl std::error::Error for PlanError {}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFault { item } => {
                write!(
                    f,
                    "`{item}` names no fault; there are {}, and max-consecutive",
                    FAULT_NAMES.join(", ")
                )
            }
            Self::NoValue { item } => write!(f, "`{item}` has no value; write it like drop=20%"),
            Self::NoSecondValue { item, example } => {
                write!(f, "`{item}` needs a second value; write it like {example}")
            }
            Self::SecondValue { item } => write!(f, "`{item}` takes one value, without a slash"),
            Self::Quantity { item, error } => write!(f, "`{item}`: {error}"),
            Self::Count { item, text } => {
                write!(f, "`{item}`: `{text}` is not a whole number that fits here")
            }
            Self::UnknownKind { name } => {
                let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
                write!(f, "`{name}` is no kind of frame; there are {}", names.join(", "))
            }
            Self::NoSpan { item } => {
                write!(f, "`{item}`: after the @ comes a span like 10s..20s, 10s.. or ..20s")
            }
            Self::EmptySpan { item } => write!(f, "`{item}` ends before it begins"),
            Self::TwoBeginnings { item } => {
                write!(f, "`{item}` says twice when it begins; in front of the .. leave the time out")
            }
            Self::ImpossibleRun { item, shortest, longest } => {
                write!(f, "`{item}`: runs with this share have a mean of {shortest} to {longest} datagrams")?;
                f.write_str("; longer silences are better told in time, like outage=5%/2s")
            }
            Self::TooMuchOutage { item } => {
                write!(f, "`{item}`: outages can take up to 90% of the time, or 100%")
            }
            Self::TooShort { item } => write!(f, "`{item}`: this time cannot be kept; 1ms is the least"),
        }
    }
}
