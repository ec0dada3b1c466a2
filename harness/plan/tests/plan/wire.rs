use kconform_plan::*;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::Number),
        (any::<u32>(), any::<u64>()).prop_map(|(slot, bits)| Value::Slot(slot, bits)),
        any::<u32>().prop_map(Value::Address),
        Just(Value::Unmapped),
        Just(Value::ReadOnly),
        (any::<u32>(), 1..9_u32).prop_map(|(buffer, unit)| Value::Length(buffer, unit)),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Piece::Bytes),
        any::<u32>().prop_map(Piece::Zero),
        (value(), prop::sample::select(vec![1, 2, 4, 8]), prop::sample::select(vec![0, 32]))
            .prop_map(|(value, width, shift)| Piece::Value { value, width, shift }),
        any::<u32>().prop_map(Piece::Decimal),
        any::<u32>().prop_map(Piece::Saved),
    ]
}

fn want() -> impl Strategy<Value = Want> {
    let leaf = prop_oneof![
        prop::collection::vec(piece(), 0..3).prop_map(Want::Bytes),
        value().prop_map(Want::Number),
        prop::collection::vec(piece(), 0..3).prop_map(Want::Contains),
        (prop::option::of(value()), prop::option::of(value()), any::<bool>())
            .prop_map(|(min, max, signed)| Want::Range { min, max, signed }),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|want| Want::Not(Box::new(want))),
            prop::collection::vec(inner, 0..3).prop_map(Want::Any),
        ]
    })
}

fn call() -> impl Strategy<Value = Op> {
    let buffer =
        prop::collection::vec(piece(), 0..3).prop_map(|pieces| Buffer { pieces, overlays: Vec::new() });
    (
        any::<u64>(),
        prop::collection::vec(value(), 0..6),
        prop::collection::vec(buffer, 0..3),
        prop::collection::vec((any::<u32>(), want()), 0..3),
        prop::option::of(any::<u64>()),
    )
        .prop_map(|(number, args, buffers, outputs, eventually_ms)| {
            Op::Call(Box::new(Call {
                function: Function::Syscall(number),
                args,
                buffers,
                outputs: vec![Output { buffer: 0, region: Region::Pieces { first: 1, count: 2 } }],
                saves: vec![Save { slot: 1, from: Source::Output(0) }],
                expect: Expect { ret: Ret::Errno(vec![22]), outputs, signal: None, big_endian: false },
                last: Last::default(),
                eventually_ms,
                gives_fd: false,
            }))
        })
}

fn op() -> impl Strategy<Value = Op> {
    call().prop_recursive(3, 12, 3, |inner| {
        let steps = prop::collection::vec(inner, 0..3).prop_map(numbered);
        prop_oneof![
            steps.clone().prop_map(Op::Fork),
            prop::collection::vec(steps.clone(), 0..3).prop_map(Op::Parallel),
            (value(), steps.clone()).prop_map(|(times, steps)| Op::Repeat { times, slot: Some(3), steps }),
            steps.prop_map(|steps| Op::Sysctl { settings: vec![("a/b".into(), Value::Number(1))], steps }),
        ]
    })
}

fn numbered(ops: Vec<Op>) -> Vec<Step> {
    ops.into_iter().zip(0..).map(|(op, index)| Step { index, op }).collect()
}

fn framed<T: serde::Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, message).unwrap();
    bytes
}

proptest! {
    #[test]
    fn what_is_sent_arrives(ops in prop::collection::vec(op(), 0..4), id: u64, timeout_ms: u64) {
        let plan = Box::new(Plan { slots: 4, timeout_ms, sysctls: Vec::new(), steps: numbered(ops) });
        let message = ToAgent::Run { id, plan };
        let bytes = framed(&message);
        prop_assert_eq!(read_frame::<ToAgent>(&mut bytes.as_slice()).unwrap(), message);
    }

    #[test]
    fn a_cut_frame_is_an_error(cut in 1_usize..20) {
        let bytes = framed(&ToAgent::Run { id: 7, plan: Box::new(Plan { slots: 900_000, timeout_ms: u64::MAX, sysctls: Vec::new(), steps: vec![] }) });
        let cut = cut.min(bytes.len() - 1);
        prop_assert!(read_frame::<ToAgent>(&mut &bytes[..cut]).is_err());
    }

    #[test]
    fn noise_is_no_message_and_no_panic(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_frame::<FromAgent>(&mut noise.as_slice());
    }

    #[test]
    fn memory_comes_back_with_its_zeros(memory in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..64)) {
        prop_assert_eq!(Bytes::new(&memory).full(), memory);
    }
}

#[test]
fn questions_about_types_and_their_answers_arrive() {
    let query = |want| BtfQuery { kind: 4, name: "tcp_sock".into(), want };
    let wants = [BtfWant::Id, BtfWant::Size, BtfWant::Offset("a.b".into()), BtfWant::Index("c".into())];
    let asked = ToAgent::Btf { queries: wants.map(query).into() };
    assert_eq!(read_frame::<ToAgent>(&mut framed(&asked).as_slice()).unwrap(), asked);
    let answers = vec![BtfAnswer::Number(u32::MAX), BtfAnswer::NoBtf, BtfAnswer::BitField];
    let said = FromAgent::Btf { answers };
    assert_eq!(read_frame::<FromAgent>(&mut framed(&said).as_slice()).unwrap(), said);
}

#[test]
fn the_end_of_a_stream_is_told_from_a_broken_one() {
    assert!(matches!(read_frame::<ToAgent>(&mut [].as_slice()), Err(WireError::Closed)));
    assert!(matches!(read_frame::<ToAgent>(&mut [1, 0].as_slice()), Err(WireError::Io(_))));
}

#[test]
fn a_length_that_no_message_has_is_refused_before_memory_is_taken() {
    let frame = u32::MAX.to_le_bytes();
    assert!(matches!(read_frame::<ToAgent>(&mut frame.as_slice()), Err(WireError::Length(_))));
}
