use kconform_abi::bpf::{self, FieldKind, Unit};
use kconform_abi::{Arch, constant};
use rstest::rstest;

#[test]
fn a_commands_index_is_its_number_and_its_constant() {
    for (index, command) in bpf::commands().enumerate() {
        assert_eq!(command.number as usize, index);
        assert_eq!(constant(Arch::X86_64, command.name), Some(command.number.into()), "{}", command.name);
        assert_eq!(bpf::command(command.name), Some(command));
        assert_eq!(bpf::command_by_number(command.number), Some(command));
    }
    assert_eq!(bpf::command_by_number(bpf::commands().count() as u32), None);
    assert_eq!(bpf::command_by_number(u32::MAX), None);
}

#[test]
fn names_are_unique_within_a_command_and_counts_count_pointers() {
    for command in bpf::commands() {
        for (index, field) in command.fields.iter().enumerate() {
            assert!(command.fields[..index].iter().all(|other| other.name != field.name), "{}", field.name);
            assert!(field.offset + field.size <= command.size);
            let Some(count) = field.count_of else { continue };
            for buffer in count.buffers {
                assert_eq!(command.field(buffer).unwrap().kind, FieldKind::Pointer, "{buffer}");
            }
            if let Unit::Field(size) = count.unit {
                assert_eq!(command.field(size).unwrap().kind, FieldKind::Int);
            }
        }
    }
}

#[rstest]
#[case("BPF_MAP_UPDATE_ELEM", 32)]
#[case("BPF_OBJ_GET_INFO_BY_FD", 16)]
#[case("BPF_PROG_TEST_RUN", 76)]
#[case("BPF_LINK_DETACH", 4)]
#[case("BPF_OBJ_PIN", 20)]
fn the_size_is_the_end_of_the_last_field(#[case] command: &str, #[case] size: u32) {
    assert_eq!(bpf::command(command).unwrap().size, size);
}

#[rstest]
#[case("BPF_OBJ_GET_INFO_BY_FD", "bpf_fd", 0, 4, FieldKind::Fd)]
#[case("BPF_OBJ_GET_INFO_BY_FD", "info.bpf_fd", 0, 4, FieldKind::Fd)]
#[case("BPF_OBJ_GET_INFO_BY_FD", "info", 8, 8, FieldKind::Pointer)]
#[case("BPF_OBJ_GET_INFO_BY_FD", "info.info", 8, 8, FieldKind::Pointer)]
#[case("BPF_MAP_CREATE", "map_name", 28, 16, FieldKind::Chars)]
#[case("BPF_LINK_CREATE", "map_fd", 0, 4, FieldKind::Fd)]
#[case("BPF_LINK_CREATE", "perf_event.bpf_cookie", 16, 8, FieldKind::Int)]
#[case("BPF_LINK_CREATE", "link_create.uprobe_multi.path_fd", 60, 4, FieldKind::Fd)]
#[case("BPF_PROG_RUN", "retval", 4, 4, FieldKind::Int)]
#[case("BPF_PROG_QUERY", "revision", 56, 8, FieldKind::Int)]
#[case("BPF_LINK_GET_FD_BY_ID", "link_id", 0, 4, FieldKind::Int)]
fn a_field_is_found(
    #[case] command: &str,
    #[case] name: &str,
    #[case] offset: u32,
    #[case] size: u32,
    #[case] kind: FieldKind,
) {
    let field = bpf::command(command).unwrap().field(name).unwrap();
    assert_eq!((field.offset, field.size, field.kind), (offset, size, kind));
}

#[rstest]
#[case("BPF_MAP_CREATE", "bpf_fd")]
#[case("BPF_MAP_CREATE", "info.bpf_fd")]
#[case("BPF_OBJ_GET_INFO_BY_FD", "info.")]
#[case("BPF_LINK_CREATE", "bpf_cookie")]
#[case("BPF_LINK_CREATE", "")]
fn a_field_of_another_is_not(#[case] command: &str, #[case] name: &str) {
    assert_eq!(bpf::command(command).unwrap().field(name), None);
}
