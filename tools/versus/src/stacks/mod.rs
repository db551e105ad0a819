//! The stacks, a file for each.

mod enet;
mod framing;
mod kcp;
mod quinn;
mod raw;
mod udpchat;

use crate::stack::Stack;

/// Settings of a peer that are better for small messages, and for nothing else.
pub fn prompt() -> Vec<Box<dyn Stack>> {
    vec![Box::new(quinn::Quinn::new(quinn::Control::BbrPrompt))]
}

/// The flow that others are put beside: what most of the internet does.
pub fn usual() -> Box<dyn Stack> {
    Box::new(quinn::Quinn::new(quinn::Control::Cubic))
}

/// Everything that is reliable.
pub fn reliable() -> Vec<Box<dyn Stack>> {
    vec![
        Box::new(udpchat::Udpchat { is_large: false }),
        Box::new(quinn::Quinn::new(quinn::Control::Cubic)),
        Box::new(quinn::Quinn::new(quinn::Control::Bbr)),
        Box::new(enet::Enet),
        Box::new(kcp::KcpFast),
    ]
}

/// Who can find out that a path takes longer datagrams than Ethernet.
pub fn large() -> Vec<Box<dyn Stack>> {
    vec![
        Box::new(udpchat::Udpchat { is_large: true }),
        Box::new(quinn::Quinn::new(quinn::Control::CubicLarge)),
    ]
}

/// Datagrams without a protocol: what the machine can do at most.
pub fn raw() -> Vec<Box<dyn Stack>> {
    vec![Box::new(raw::Raw { segmented: true }), Box::new(raw::Raw { segmented: false })]
}
