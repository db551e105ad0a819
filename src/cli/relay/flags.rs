//! Flags of `relay` that are more than a word.

use std::fmt;
use std::str::FromStr;

use crate::relay::Flood;

/// A token bucket, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloodLimit(pub Option<Flood>);

impl FromStr for FloodLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let number = |text: &str| text.trim().parse().ok().filter(|number| *number > 0);
        let both = text.split_once(',').and_then(|(burst, rate)| Some((number(burst)?, number(rate)?)));
        let (burst, per_second) =
            both.ok_or("write how many at once and how many a second after that, such as 200,50, or off")?;
        Ok(Self(Some(Flood { burst, per_second })))
    }
}

/// What a relay can be made to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultSwitch {
    /// Nobody is let in.
    Connect,
    /// No line is taken.
    Send,
    /// So many of a million datagrams that arrive are lost.
    Receive(u32),
}

impl fmt::Display for FaultSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Send => f.write_str("send"),
            Self::Receive(ppm) => write!(f, "receive={}", f64::from(*ppm) / 1e6),
        }
    }
}

/// Enough that everybody sees it, little enough that everything still arrives.
const DEFAULT_LOSS_PPM: u32 = 300_000;

impl FromStr for FaultSwitch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mistake = || "write connect, send, receive, or receive=0.3".to_owned();
        match text {
            "connect" => return Ok(Self::Connect),
            "send" => return Ok(Self::Send),
            "receive" => return Ok(Self::Receive(DEFAULT_LOSS_PPM)),
            _ => {}
        }
        let share: f64 =
            text.strip_prefix("receive=").and_then(|share| share.parse().ok()).ok_or_else(mistake)?;
        if !(0.0..=1.0).contains(&share) {
            return Err("the share that is lost is from 0 to 1, such as 0.3".to_owned());
        }
        // At most a million, and not negative.
        Ok(Self::Receive((share * 1e6).round() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floods_are_two_numbers_or_off() {
        assert_eq!("off".parse(), Ok(FloodLimit(None)));
        assert_eq!("200, 50".parse(), Ok(FloodLimit(Some(Flood { burst: 200, per_second: 50 }))));
        for wrong in ["", "200", "0,5", "5,0", "a,b", "-1,2"] {
            assert!(wrong.parse::<FloodLimit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn loss_has_a_share() {
        assert_eq!("receive".parse(), Ok(FaultSwitch::Receive(300_000)));
        assert_eq!("receive=0.05".parse(), Ok(FaultSwitch::Receive(50_000)));
        assert_eq!("receive=1".parse(), Ok(FaultSwitch::Receive(1_000_000)));
        assert_eq!(FaultSwitch::Receive(50_000).to_string(), "receive=0.05");
        for wrong in ["", "receive=", "receive=2", "receive=-1", "receive=NaN", "sleep"] {
            assert!(wrong.parse::<FaultSwitch>().is_err(), "{wrong}");
        }
    }
}
