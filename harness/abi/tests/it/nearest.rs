use kconform_abi::{constant_names, errno, nearest, syscall_names};
use rstest::rstest;

#[rstest]
#[case::missing_letter("BPF_MAP_TYPE_ARAY", Some("BPF_MAP_TYPE_ARRAY"))]
#[case::case_does_not_count("bpf_map_type_hash", Some("BPF_MAP_TYPE_HASH"))]
#[case::transposition("BPF_MAP_TYPE_AYRRA", Some("BPF_MAP_TYPE_ARRAY"))]
#[case::one_of_several("BPF_NOEXISTS", Some("BPF_NOEXIST"))]
#[case::unfinished("BPF_FUNC_map_lookup", Some("BPF_FUNC_map_lookup_elem"))]
#[case::a_slip_before_an_unfinished_word("BPF_MAP_TYPE_HASG", Some("BPF_MAP_TYPE_HASH"))]
#[case::nothing_near("frobnicate_everything", None)]
#[case::empty("", None)]
fn a_constant_is_suggested(#[case] word: &str, #[case] suggestion: Option<&str>) {
    assert_eq!(nearest(word, constant_names()), suggestion);
}

#[rstest]
#[case("EINVALL", Some("EINVAL"))]
#[case("einval", Some("EINVAL"))]
#[case("EPREM", Some("EPERM"))]
#[case("hello", None)]
fn an_errno_is_suggested(#[case] word: &str, #[case] suggestion: Option<&str>) {
    assert_eq!(nearest(word, errno::names()), suggestion);
}

#[test]
fn a_syscall_is_suggested() {
    assert_eq!(nearest("opneat", syscall_names()), Some("openat"));
}

#[test]
fn a_field_of_the_command_is_suggested() {
    let fields =
        || kconform_abi::bpf::command("BPF_MAP_CREATE").unwrap().fields.iter().map(|field| field.name);
    assert_eq!(nearest("max_entires", fields()), Some("max_entries"));
    assert_eq!(nearest("keysize", fields()), Some("key_size"));
}

#[test]
fn among_equals_the_beginning_decides() {
    assert_eq!(nearest("abx", ["xbx", "abc"].into_iter()), Some("abc"));
}
