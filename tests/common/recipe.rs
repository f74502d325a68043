//! What a QCOW2 image is made of, and how proptest makes one up.

use proptest::bool::weighted as chance;
use proptest::collection;
use proptest::option::weighted;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

/// What an image is made of.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) version: u32,
    pub(crate) cluster_bits: u32,
    pub(crate) extended: bool,
    pub(crate) zstd: bool,
    pub(crate) tables: Vec<TableRecipe>,
    pub(crate) order: Order,
    pub(crate) l1: Spot,
    /// Slots of the last table that the disk reaches, and sectors cut off the last of them.
    pub(crate) end: (u8, u8),
    pub(crate) trailing: u16,
    pub(crate) seed: u64,
}

/// One L1 entry and its table.
#[derive(Clone, Debug)]
pub(crate) struct TableRecipe {
    pub(crate) kind: TableKind,
    pub(crate) spot: Spot,
    pub(crate) slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
pub(crate) enum TableKind {
    Own,
    None,
    /// The table of an earlier L1 entry.
    Alias(u8),
}

/// One L2 entry.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) at: u8,
    pub(crate) spot: Spot,
    pub(crate) what: What,
    pub(crate) copied: bool,
    /// Names the bytes of an earlier slot of the same kind.
    pub(crate) share: Option<u8>,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Zero,
    Data { content: Content, allocated: u32 },
    Compressed { content: Content, more: u8, slack: u8, new_pack: bool },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    Zeros,
    Half,
    Full,
}

/// Where something lies in the file, among the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    /// Sorts what lies in the file; `None` is right behind what was made before.
    pub(crate) key: Option<u16>,
    /// Garbage before it.
    pub(crate) gap: Gap,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Gap {
    None,
    Clusters(u8),
    Far,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    AsMade,
    Backwards,
    ByKey,
}

/// Recipes of every kind that the specification allows, and sharing that it does not.
pub(crate) fn recipes() -> impl Strategy<Value = Recipe> {
    (shapes(), collection::vec(tables(), 1..6), orders(), spots(), any::<(u8, u8, u64)>(), trailing())
        .prop_map(
            |((version, cluster_bits, extended, zstd), tables, order, l1, (slots, cut, seed), trailing)| {
                Recipe {
                    version,
                    cluster_bits,
                    extended,
                    zstd,
                    tables,
                    order,
                    l1,
                    end: (slots, cut),
                    trailing,
                    seed: seed >> 8,
                }
            },
        )
}

/// Version, cluster bits, extended L2 entries, zstd.
fn shapes() -> impl Strategy<Value = (u32, u32, bool, bool)> {
    prop_oneof![
        2 => (9_u32..=16).prop_map(|bits| (2, bits, false, false)),
        4 => (9_u32..=16, chance(0.3)).prop_map(|(bits, zstd)| (3, bits, false, zstd)),
        3 => (14_u32..=16, chance(0.3)).prop_map(|(bits, zstd)| (3, bits, true, zstd)),
        1 => any::<bool>().prop_map(|extended| (3, 21, extended, false)),
    ]
}

fn tables() -> impl Strategy<Value = TableRecipe> {
    let kind = prop_oneof![
        12 => Just(TableKind::Own),
        1 => Just(TableKind::None),
        1 => any::<u8>().prop_map(TableKind::Alias),
    ];
    (kind, spots(), collection::vec(slots(), 0..36)).prop_map(|(kind, spot, slots)| TableRecipe {
        kind,
        spot,
        slots,
    })
}

fn slots() -> impl Strategy<Value = Slot> {
    let allocated = prop_oneof![Just(u32::MAX), any::<u32>(), (0_u32..32).prop_map(|bit| 1 << bit)];
    let compressed = (contents(), any::<u8>(), 0_u8..3, chance(0.2));
    let what = prop_oneof![
        1 => Just(What::Zero),
        5 => (contents(), allocated).prop_map(|(content, allocated)| What::Data { content, allocated }),
        5 => compressed.prop_map(|(content, more, slack, new_pack)| What::Compressed {
            content,
            more: if more < 128 { 0 } else { more },
            slack,
            new_pack,
        }),
    ];
    let share = weighted(0.06, any::<u8>());
    (any::<u8>(), spots(), what, chance(0.6), share).prop_map(|(at, spot, what, copied, share)| Slot {
        at,
        spot,
        what,
        copied,
        share,
    })
}

fn contents() -> impl Strategy<Value = Content> {
    prop_oneof![1 => Just(Content::Zeros), 1 => Just(Content::Half), 3 => Just(Content::Full)]
}

fn spots() -> impl Strategy<Value = Spot> {
    let gap = prop_oneof![
        40 => Just(Gap::None),
        6 => (1_u8..4).prop_map(Gap::Clusters),
        1 => Just(Gap::Far),
    ];
    (weighted(0.5, any::<u16>()), gap).prop_map(|(key, gap)| Spot { key, gap })
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![1 => Just(Order::AsMade), 2 => Just(Order::Backwards), 4 => Just(Order::ByKey)]
}

fn trailing() -> impl Strategy<Value = u16> {
    prop_oneof![Just(0), any::<u16>()]
}
