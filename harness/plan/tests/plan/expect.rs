use kconform_plan::*;
use rstest::rstest;

fn none(_: u32) -> Option<Saved> {
    None
}

fn number(n: i64) -> Value {
    Value::Number(n as u64)
}

fn bytes(b: &[u8]) -> Vec<Piece> {
    vec![Piece::Bytes(b.to_vec())]
}

#[rstest]
#[case::any_fd(Ret::Success, 3, true)]
#[case::failure(Ret::Success, -22, false)]
#[case::an_address_is_no_errno(Ret::Success, -4096, true)]
#[case::errno(Ret::Errno(vec![22]), -22, true)]
#[case::one_of_errnos(Ret::Errno(vec![1, 13]), -13, true)]
#[case::other_errno(Ret::Errno(vec![1, 13]), -22, false)]
#[case::success_is_no_errno(Ret::Errno(vec![22]), 22, false)]
#[case::a_failure_is_in_no_range(Ret::Range { min: None, max: Some(number(20)) }, -1, false)]
#[case::nor_above_a_bound(Ret::Range { min: Some(number(-9)), max: None }, -9, false)]
#[case::nor_exactly_anything(Ret::Exactly(number(-9)), -9, false)]
#[case::either_succeeds(either(Ret::Success), 5, true)]
#[case::either_fails(either(Ret::Success), -2, true)]
#[case::either_fails_otherwise(either(Ret::Success), -22, false)]
#[case::either_returns(either(Ret::Exactly(number(3))), 3, true)]
#[case::either_returns_otherwise(either(Ret::Exactly(number(3))), 4, false)]
#[case::exactly(Ret::Exactly(number(1)), 1, true)]
#[case::not_exactly(Ret::Exactly(number(1)), 0, false)]
#[case::at_least(Ret::Range { min: Some(number(3)), max: None }, 3, true)]
#[case::too_little(Ret::Range { min: Some(number(3)), max: None }, 2, false)]
#[case::too_much(Ret::Range { min: None, max: Some(number(-1)) }, 0, false)]
fn return_values(#[case] ret: Ret, #[case] got: i64, #[case] holds: bool) {
    let expect = Expect { ret, outputs: vec![], signal: None, big_endian: false };
    assert_eq!(expect.check(Got { ret: got, outputs: &[] }, &none).is_empty(), holds);
}

#[rstest]
#[case::exact(Want::Bytes(bytes(b"ab")), b"ab", true)]
#[case::longer_memory_is_not_exact(Want::Bytes(bytes(b"ab")), b"ab\0", false)]
#[case::prefix(Want::Prefix(bytes(b"ab")), b"abc", true)]
#[case::contains(Want::Contains(bytes(b"bc")), b"abcd", true)]
#[case::does_not_contain(Want::Contains(bytes(b"cb")), b"abcd", false)]
#[case::not(Want::Not(Box::new(Want::Contains(bytes(b"cb")))), b"abcd", true)]
#[case::any(Want::Any(vec![Want::Bytes(bytes(b"x")), Want::Bytes(bytes(b"y"))]), b"y", true)]
#[case::number(Want::Number(number(0x0201)), &[1, 2], true)]
#[case::negative_number_of_its_width(Want::Number(number(-1)), &[0xff; 4], true)]
#[case::no_number_has_three_bytes(Want::Number(number(0)), &[0; 3], false)]
#[case::unsigned_range(Want::Range { min: Some(number(250)), max: None, signed: false }, &[0xff], true)]
#[case::signed_range(Want::Range { min: None, max: Some(number(-1)), signed: true }, &[0xff], true)]
#[case::signed_range_missed(Want::Range { min: None, max: Some(number(-2)), signed: true }, &[0xff], false)]
#[case::padding_does_not_matter(
    Want::Strided { stride: 8, slots: vec![bytes(&[7, 0, 0, 0]), bytes(&[8, 0, 0, 0])] },
    &[7, 0, 0, 0, 9, 9, 9, 9, 8, 0, 0, 0, 9, 9, 9, 9],
    true
)]
#[case::a_slot_too_few(Want::Strided { stride: 8, slots: vec![bytes(&[7])] }, &[7; 16], false)]
fn outputs(#[case] want: Want, #[case] memory: &[u8], #[case] holds: bool) {
    assert_eq!(want.holds(memory, false, &none), holds);
}

#[test]
fn byte_order_is_the_kernels() {
    let want = Want::Bytes(vec![Piece::Value { value: number(0x0102), width: 4, shift: 0 }]);
    assert!(want.holds(&[2, 1, 0, 0], false, &none));
    assert!(want.holds(&[0, 0, 1, 2], true, &none));
    assert!(Want::Number(number(0x0102)).holds(&[1, 2], true, &none));
}

#[test]
fn saved_values_stand_for_themselves() {
    let saved = |slot: u32| match slot {
        0 => Some(Saved::Number(5)),
        1 => Some(Saved::Bytes(b"tag".to_vec())),
        _ => None,
    };
    let path = vec![Piece::Bytes(b"fd/".to_vec()), Piece::Decimal(0)];
    assert!(Want::Bytes(path).holds(b"fd/5", false, &saved));
    assert!(Want::Bytes(vec![Piece::Saved(1)]).holds(b"tag", false, &saved));
    assert!(Want::Number(Value::Slot(0, 8)).holds(&[13], false, &saved));
    assert!(!Want::Number(Value::Slot(2, 0)).holds(&[0], false, &saved));
}

#[test]
fn every_mismatch_is_told() {
    let expect = Expect {
        ret: Ret::Exactly(number(1)),
        outputs: vec![(0, Want::Bytes(bytes(b"a"))), (1, Want::Bytes(bytes(b"b")))],
        signal: None,
        big_endian: false,
    };
    let outputs = [Bytes::new(b"a"), Bytes::new(b"x")];
    assert_eq!(expect.check(Got { ret: 0, outputs: &outputs }, &none), [Mismatch::Ret, Mismatch::Output(1)]);
}

#[test]
fn a_call_that_returns_was_not_killed() {
    let expect = Expect { ret: Ret::Success, outputs: vec![], signal: Some(7), big_endian: false };
    assert_eq!(expect.check(Got { ret: 0, outputs: &[] }, &none), [Mismatch::Ret]);
}

fn either(success: Ret) -> Ret {
    Ret::Either { success: Box::new(success), errnos: vec![2] }
}

/// A saved value is known only when the step runs.
#[test]
fn a_saved_errno_is_not_returned_by_a_call_that_fails() {
    let expect = |ret| Expect { ret, outputs: vec![], signal: None, big_endian: false };
    let saved = |_| Some(Saved::Number(-1_i64 as u64));
    let got = Got { ret: -1, outputs: &[] };
    assert_eq!(expect(Ret::Exactly(Value::Slot(0, 0))).check(got, &saved), [Mismatch::Ret]);
    let range = Ret::Range { min: None, max: Some(Value::Slot(0, 0)) };
    assert_eq!(expect(range).check(got, &saved), [Mismatch::Ret]);
}

#[test]
fn outputs_of_a_call_that_may_fail_count_where_it_succeeds() {
    let outputs = vec![(0, Want::Number(number(1)))];
    let expect = Expect { ret: either(Ret::Success), outputs, signal: None, big_endian: false };
    let outputs = [Bytes::new(&[7])];
    assert!(expect.check(Got { ret: -2, outputs: &outputs }, &|_| None).is_empty());
    assert_eq!(expect.check(Got { ret: 0, outputs: &outputs }, &|_| None), [Mismatch::Output(0)]);
}
