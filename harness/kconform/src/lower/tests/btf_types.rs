//! BTF as types is the same bytes as BTF that is written as numbers.

use rstest::rstest;

use super::show::show;
use super::*;

/// The plan of a case that writes this buffer, on both byte orders.
fn bytes(buffer: &str) -> [String; 2] {
    let case = case(&format!("- write: [1, {buffer}, 1]"));
    [Arch::X86_64, Arch::S390x]
        .map(|arch| show(&lower(&case, &kernel(arch), 1.0).expect("it can be lowered")))
}

/// `words` follow an integer called "int"; the other strings are "a" at 5 and "b" at 7.
#[rstest]
#[case::bool_and_bits(
    "{int: a, size: 1, encoding: bool, bits: 1, offset: 3}",
    "5, 0x01000000, 1, 0x04030001"
)]
#[case::two_encodings("{int: a, size: 1, encoding: [signed, char]}", "5, 0x01000000, 1, 0x03000008")]
#[case::encoding_as_number("{int: a, size: 4, encoding: 0xf1}", "5, 0x01000000, 4, 0xf1000020")]
#[case::pointer("{ptr: int}", "0, 0x02000000, 1")]
#[case::pointer_by_number("{ptr: 7}", "0, 0x02000000, 7")]
#[case::pointer_to_void("{ptr: void}", "0, 0x02000000, 0")]
#[case::array("{array: int, index: 1, count: 0x10}", "0, 0x03000000, 0, 1, 1, 16")]
#[case::structure(
    "{struct: a, size: 8, members: [{name: a, type: int}, {name: b, type: int, offset: 4}]}",
    "5, 0x04000002, 8, 5, 1, 0, 7, 1, 32"
)]
#[case::bit_field(
    "{struct: a, size: 4, members: [{name: b, type: int, bit_offset: 5, bits: 3}]}",
    "5, 0x84000001, 4, 7, 1, 0x03000005"
)]
#[case::nameless_union("{union: \"\", size: 4, members: [{type: int}]}", "0, 0x05000001, 4, 0, 1, 0")]
#[case::enumeration("{enum: a, size: 4, values: [{name: b, value: -1}]}", "5, 0x06000001, 4, 7, 0xffffffff")]
#[case::forward("{fwd: a, of: union}", "5, 0x87000000, 0")]
#[case::typedef("{typedef: a, type: int}", "5, 0x08000000, 1")]
#[case::modifiers(
    "{volatile: int}, {const: 2}, {restrict: 3}",
    "0, 0x09000000, 1, 0, 0x0a000000, 2, 0, 0x0b000000, 3"
)]
#[case::function(
    "{func_proto: int, params: [{name: a, type: int}, {type: void}]}, {func: b, type: 2, linkage: global}",
    "0, 0x0d000002, 1, 5, 1, 0, 0, 7, 0x0c000001, 2"
)]
#[case::section(
    "{var: a, type: int, linkage: global}, {datasec: b, size: 4, vars: [{type: a, size: 4}]}",
    "5, 0x0e000000, 1, 1, 7, 0x0f000001, 4, 2, 0, 4"
)]
#[case::float("{float: a, size: 8}", "5, 0x10000000, 8")]
#[case::tags(
    "{decl_tag: a, type: int}, {decl_tag: b, type: int, component: 2}, {type_tag: a, type: int}",
    "5, 0x11000000, 1, 0xffffffff, 7, 0x11000000, 1, 2, 5, 0x12000000, 1"
)]
#[case::wide_enumeration(
    "{enum64: a, size: 8, values: [{name: b, value: 0x200000001}]}",
    "5, 0x13000001, 8, 7, 1, 2"
)]
#[case::later_type("{ptr: a}, {typedef: a, type: int}", "0, 0x02000000, 3, 5, 0x08000000, 1")]
#[case::wrong_on_purpose(
    "{int: \"\", name_off: 0x1000, size: 4, vlen: 3, kind_flag: true}, {ptr: int, name: a, info: 0x0201ffff}",
    "0x1000, 0x81000003, 4, 32, 5, 0x0201ffff, 1"
)]
#[case::bytes_of_ones_own("{u32: [0, 0x02000000]}, {ptr: int}", "0, 0x02000000, 0, 0x02000000, 1")]
fn types_are_words(#[case] types: &str, #[case] words: &str) {
    let int = "{int: int, size: 4, encoding: signed}";
    let written = format!("{{btf: {{types: [{int}, [{types}]], strings: [int, a, b]}}}}");
    let words = format!("1, 0x01000000, 4, 0x01000020, {words}");
    let length = 4 * words.split(", ").filter(|word| !word.is_empty()).count();
    let by_hand = format!(
        "{{list: [{{u16: 0xeb9f}}, {{u8: [1, 0]}}, {{u32: [24, 0, {length}, {length}, 9]}}, \
         {{u32: [{}]}}, {{hex: 00 69 6e 74 00 61 00 62 00}}]}}",
        words.trim_end_matches(", ")
    );
    assert_eq!(bytes(&written), bytes(&by_hand));
}

/// Without a list of strings they stand in the order in which they are used, each once.
#[test]
fn strings_follow_the_types() {
    let written = "{btf: [{struct: s, size: 4, members: [{name: m, type: t}]}, {int: t, size: 4}, {typedef: s, type: t}]}";
    let by_hand = "{list: [{u16: 0xeb9f}, {u8: [1, 0]}, {u32: [24, 0, 52, 52, 7]}, \
                   {u32: [1, 0x04000001, 4, 3, 2, 0, 5, 0x01000000, 4, 32, 1, 0x08000000, 2]}, {hex: 00 73 00 6d 00 74 00}]}";
    assert_eq!(bytes(written), bytes(by_hand));
}

/// Each word of the header can be another.
#[test]
fn headers_can_be_wrong() {
    let written = "{btf: {types: [{ptr: void}], strings: {hex: 61}, magic: 0xeb9e, version: 2, flags: 3, hdr_len: 4, \
                   type_off: 5, type_len: 6, str_off: 7, str_len: 8}}";
    let by_hand =
        "{list: [{u16: 0xeb9e}, {u8: [2, 3]}, {u32: [4, 5, 6, 7, 8]}, {u32: [0, 0x02000000, 0]}, {hex: 61}]}";
    assert_eq!(bytes(written), bytes(by_hand));
    let bare = "{list: [{u16: 0xeb9f}, {u8: [1, 0]}, {u32: [24, 0, 0, 0, 1]}, {hex: '00'}]}";
    assert_eq!(bytes("{btf: []}"), bytes("{btf: {types: []}}"));
    assert_eq!(bytes("{btf: []}")[0], bytes(bare)[0]);
}
