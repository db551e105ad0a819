//! MQTT 3.1.1, as much of it as a room needs, with every delivery acknowledged (QoS 1).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use super::tcp_crowd::{Heard, Tongue};

/// Members of one topic.
#[derive(Default)]
pub struct Mqtt {
    next_id: u16,
}

const TOPIC: &[u8] = b"\0\x04room";

impl Tongue for Mqtt {
    fn arguments(&self, port: u16, folder: &Path) -> io::Result<Vec<OsString>> {
        let file = folder.join("mosquitto.conf");
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nmax_inflight_messages \
             0\nmax_queued_messages 0\nlog_type none\n"
        );
        fs::write(&file, settings)?;
        Ok(vec!["-c".into(), file.into()])
    }

    fn greet(&self, member: usize, output: &mut Vec<u8>) {
        let name = format!("member{member}");
        let mut connect = b"\0\x04MQTT\x04\x02\0\0".to_vec();
        connect.extend_from_slice(&(name.len() as u16).to_be_bytes());
        connect.extend_from_slice(name.as_bytes());
        packet(0x10, &connect, output);
        let subscribe = [b"\0\x01".as_slice(), TOPIC, b"\x01"].concat();
        packet(0x82, &subscribe, output);
    }

    fn say(&mut self, line: &[u8], output: &mut Vec<u8>) {
        // Not zero, and not in use: fewer than this are under way.
        self.next_id = self.next_id % 60_000 + 1;
        packet(0x32, &[TOPIC, &self.next_id.to_be_bytes(), line].concat(), output);
    }

    fn hear(&self, input: &[u8], output: &mut Vec<u8>) -> Option<(usize, Heard)> {
        let (head, body) = split(input)?;
        let whole = input.len() - body.len();
        let length = body_length(input)?;
        let body = body.get(..length)?;
        let heard = match head >> 4 {
            3 => {
                let topic = usize::from(u16::from_be_bytes(*body.first_chunk()?));
                if let Some(id) = body.get(2 + topic..4 + topic).filter(|_| head & 0x06 != 0) {
                    packet(0x40, id, output);
                }
                Heard::Line
            }
            9 => Heard::Seated,
            _ => Heard::Other,
        };
        Some((whole + length, heard))
    }
}

/// A packet's first byte, and what follows its length.
fn split(input: &[u8]) -> Option<(u8, &[u8])> {
    let (&head, rest) = input.split_first()?;
    let end = rest.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    Some((head, &rest[end + 1..]))
}

fn body_length(input: &[u8]) -> Option<usize> {
    let digits = input.get(1..)?;
    let end = digits.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    Some(digits[..=end].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f)))
}

fn packet(head: u8, body: &[u8], output: &mut Vec<u8>) {
    output.push(head);
    let mut length = body.len();
    while length >= 0x80 {
        output.push(length as u8 | 0x80);
        length >>= 7;
    }
    output.push(length as u8);
    output.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_and_acknowledged() {
        let (mut input, mut output) = (Vec::new(), Vec::new());
        Mqtt::default().say(&[b'x'; 200], &mut input);
        let mqtt = Mqtt::default();
        assert_eq!(mqtt.hear(&input[..input.len() - 1], &mut output), None);
        assert_eq!(mqtt.hear(&input, &mut output), Some((input.len(), Heard::Line)));
        assert_eq!(output, [0x40, 2, 0, 1]);
    }
}
