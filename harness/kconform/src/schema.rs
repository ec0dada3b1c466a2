//! The JSON Schema of case files, for editors: what may stand where, the words of the kernel, and what they mean.
//!
//! It is made from the same tables that files are read with. A schema cannot say everything (that a `$name` is saved
//! before, that a buffer has the right size): `kconform check` does. Draft 7, which every YAML language server knows.

use std::collections::BTreeSet;

use kconform_abi::bpf::{self, Command, Field, FieldKind};
use kconform_abi::{
    Arch, Param, ParamKind, Prototype, capability, constant_names, errno, prototype, signal, structure_names,
    syscall_names,
};
use kconform_plan::{Lockdown, SYSCTLS};
use serde_json::{Map, Value, json};

use crate::load::btf_types::{HEADER_KEYS, MEMBER_KEYS, PARAM_KEYS, VALUE_KEYS, VAR_KEYS, kinds};
use crate::load::carried_tags;
use crate::uapi::member_names;

/// A parameter, where more than a word belongs.
const PARAMETER: &str = r"^\$[A-Za-z_][A-Za-z0-9_]*$";

/// A number as text: several or-ed, a parameter, digits, arithmetic; single constants are listed by name.
const NUMBER: &str = r"^\s*(-?[0-9][0-9A-Za-z_]*|\$[A-Za-z_][A-Za-z0-9_]*|(btf_(id|size|offset|index)|sizeof|offsetof)\s*\(.+\)|[0-9A-Z_(][0-9A-Za-z_()\s]*([-+*/%][0-9A-Za-z_()\s]+)+|[^|]+(\|[^|]+)+)\s*$";

/// The schema as it is kept in the repository.
pub(crate) fn schema() -> String {
    // A schema is plain JSON.
    crate::json_lines::lines(&value()).unwrap_or_default()
}

/// The schema.
pub(crate) fn value() -> Value {
    let mut schema = object(
        "A suite of cases.",
        &[
            (
                "about",
                reference("texts", "What is checked: holds for each case that does not say it itself."),
            ),
            ("source", reference("texts", "Who says so: bpf(2), a commit, a CVE, a kernel document.")),
            ("requires", reference("requires", "Holds for every case of the file, beside its own.")),
            ("let", json!({"description": "Holds YAML anchors; ignored otherwise."})),
            (
                "tags",
                json!({"type": "object", "additionalProperties": reference("texts", ""),
            "description": "In probes.yaml: the tags that cases may have, and what each stands for."}),
            ),
            ("probes", probes()),
            ("cases", list("The cases.", reference("case", ""))),
        ],
    );
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("kconform cases");
    schema["definitions"] = definitions();
    schema
}

fn definitions() -> Value {
    let mut all = Map::new();
    let mut add = |name: &str, schema: Value| all.insert(name.to_owned(), schema);
    add("case", case());
    add("requires", requires());
    add("steps", list("Steps, in order.", reference("step", "")));
    add("step", step());
    add("args", list("The arguments in the man page's order; those left out are 0.", reference("arg", "")));
    add("scalar", json!({"anyOf": [{"enum": [null, "null", "NULL"]}, reference("number", "")]}));
    add("arg", json!({"anyOf": [reference("address", ""), reference("number", ""), reference("piece", "")]}));
    add(
        "attr",
        json!({"anyOf": [
            reference("address", ""), reference("number", ""), reference("piece", ""),
            {"type": "object", "patternProperties": {OFFSET: reference("field", ""), "^<<$": {}}, "additionalProperties": false},
        ]}),
    );
    add("field", json!({"anyOf": [reference("arg", ""), {"type": ["string", "number"]}]}));
    add(
        "address",
        json!({"enum": [null, "null", "NULL", "unmapped", "readonly", "kernel"],
        "description": "null: NULL. unmapped: an address that is not mapped. readonly: one that cannot be written. kernel: one in the kernel's half."}),
    );
    add(
        "number",
        json!({"anyOf": [
            {"type": "integer"}, reference("constant", ""), {"type": "string", "pattern": NUMBER,
                "description": "16, -1, 0x10, A | B, $name, sizeof(struct x) and offsetof(struct x, member) of the uapi headers, or what the kernel's own BTF says: btf_id(struct x), btf_size(struct x), btf_offset(struct x, member), btf_index(struct x, member)."},
        ]}),
    );
    add("constant", words(constant_names(), "A constant of the target's own ABI; several are or-ed: A | B."));
    add("errno", words(errno::names(), "An errno."));
    add("signal", words(signal::names(), "A signal."));
    add("capability", words(capability::names(), "A capability."));
    add("tag", tag());
    add("piece", piece());
    add("structure", structure());
    add("btf", btf());
    add("btf_type", btf_type());
    add("pieces", one_or_many(reference("piece", "")));
    add(
        "expect",
        json!({"type": ["object", "string"], "pattern": PARAMETER, "additionalProperties": reference("want", ""),
        "description": "What output buffers and fields hold afterwards: an attr field, arg0 … arg5, data (of peek), or what `as` says."}),
    );
    add("want", want());
    add(
        "errnos",
        json!({"description": "The call must fail with this errno, or with one of this list; `none`: it must succeed, or, in a list, may.",
        "anyOf": [reference("errno", ""), {"type": "array", "minItems": 1,
                "items": {"anyOf": [reference("errno_or_number", ""), {"const": "none"}]}},
            {"const": "none"}, reference("errno_or_number", "")]}),
    );
    add(
        "errno_or_number",
        json!({"anyOf": [reference("errno", ""), {"type": "integer", "minimum": 1, "maximum": 4095},
        {"type": "string", "pattern": PARAMETER}]}),
    );
    add(
        "ret",
        json!({"description": "The call must succeed and return exactly this, or something in a range.",
        "anyOf": [reference("number", ""), range()]}),
    );
    add(
        "killed_by",
        json!({"description": "The call must kill the process with this signal.",
        "anyOf": [reference("signal", ""), {"type": "integer", "minimum": 1, "maximum": 64}, {"type": "string", "pattern": PARAMETER}]}),
    );
    add("texts", one_or_many(json!({"type": ["string", "number"]})));
    for command in bpf::commands().chain([&bpf::COMMON_ATTR]) {
        add(&attr_name(command), attr(command));
    }
    add("bpf", bpf_call());
    let mut shapes = BTreeSet::new();
    shapes_in(&all["step"], &mut shapes);
    all.extend(shapes.into_iter().filter_map(|name| Some((name.to_owned(), shape(&name)?))));
    Value::Object(all)
}

/// A byte offset into an attr.
const OFFSET: &str = "^@(0x)?[0-9a-fA-F]+$";

// ---- the parts of a file

fn case() -> Value {
    let mut case = object(
        "A case: one program, or, with `each` and `matrix`, one for each row and combination.",
        &[
            (
                "name",
                json!({"type": ["string", "number"], "description": "Unique in the file; $parameters may stand in it."}),
            ),
            ("about", reference("texts", "What is checked, for the reader and the failure report.")),
            ("source", reference("texts", "Who says so.")),
            (
                "requires",
                reference(
                    "requires",
                    "What the kernel and the user must have; not met: skipped, with the reason.",
                ),
            ),
            (
                "each",
                json!({"type": "array", "minItems": 1, "description": "A table: one case a row, named by `case`; its other keys are parameters.",
            "items": {"type": "object"}}),
            ),
            (
                "matrix",
                json!({"type": "object", "minProperties": 1, "description": "Every combination of these parameters' values is a case.",
            "additionalProperties": {}}),
            ),
            ("steps", reference("steps", "The calls, in order.")),
            ("timeout", seconds("Seconds for the whole case; default 10, more under emulation.")),
            ("exclusive", truth("Nothing else runs on that kernel meanwhile.")),
            ("guest_only", truth("Never on the host's own kernel.")),
            (
                "fresh",
                truth(
                    "A guest for this case alone, as it has booted, thrown away afterwards; guest_only and exclusive too.",
                ),
            ),
            (
                "needs",
                reference("texts", "Probes, of this file or of probes.yaml, that must find their feature."),
            ),
            ("known_issue", one_or_many(known_issue())),
            ("tags", one_or_many(reference("tag", ""))),
        ],
    );
    case["anyOf"] = json!([{"required": ["name", "steps"]}, {"required": ["<<"]}]);
    case
}

fn known_issue() -> Value {
    object(
        "An expected failure; passing is then reported too.",
        &[("when", reference("requires", "Where.")), ("because", reference("texts", "Why."))],
    )
}

fn probes() -> Value {
    let probe = object(
        "A feature that is looked for once per kernel.",
        &[
            ("about", reference("texts", "What feature.")),
            ("source", reference("texts", "Who says so.")),
            (
                "since",
                json!({"type": ["string", "number"], "description": "From this version on absence is a failure, not a skip."}),
            ),
            (
                "absent",
                json!({"description": "The errno of the last step that means absence; any other one is a failure.",
            "anyOf": [reference("errno_or_number", "")]}),
            ),
            ("steps", reference("steps", "The calls, in order.")),
        ],
    );
    json!({"type": "object", "description": "Features that cases need, by name.", "additionalProperties": probe})
}

fn requires() -> Value {
    let arches: Vec<&str> = Arch::ALL.iter().map(|arch| arch.name()).collect();
    object(
        "What a kernel, and the user on it, must have.",
        &[
            (
                "kernel",
                json!({"type": "string", "description": "A range of versions: \">=5.6, <6.12\".",
            "pattern": r"^\s*(\$.*|(<|<=|=|==|!=|>=|>)\s*[0-9$].*)$"}),
            ),
            (
                "arch",
                one_or_many(json!({"description": "As `uname -m` says it.",
            "anyOf": [{"enum": arches}, {"type": "string", "pattern": PARAMETER}]})),
            ),
            (
                "page_size",
                one_or_many(json!({"description": "Bytes of a page.",
            "anyOf": [{"enum": [4096, 16384, 65536]}, {"type": "string", "pattern": PARAMETER}]})),
            ),
            (
                "capabilities",
                one_or_many(
                    json!({"anyOf": [reference("capability", ""), {"type": "string", "pattern": PARAMETER}]}),
                ),
            ),
            (
                "config",
                one_or_many(json!({"type": "string", "pattern": r"^(!?\s*CONFIG_[A-Za-z0-9_]+|\$.*)$",
            "description": "CONFIG_… that must be y or m; with a !, must not."})),
            ),
            ("privileged", truth("false: only where bpf(2) is not privileged.")),
            ("sysctl", sysctls()),
            ("jit", truth("Whether programs are compiled; where the JIT is off, a guest switches it on.")),
            (
                "lockdown",
                one_or_many(json!({"description": "The lockdown level.",
            "anyOf": [{"enum": Lockdown::ALL.map(Lockdown::name)}, {"type": "string", "pattern": PARAMETER}]})),
            ),
            (
                "lsm",
                one_or_many(json!({"type": "string", "pattern": r"^(!?\s*[A-Za-z0-9_]+|\$.*)$",
            "description": "Security modules that must be active; with a !, must not."})),
            ),
            (
                "cmdline",
                one_or_many(json!({"type": "string", "pattern": r"^(!?\s*[!-~]+|\$.*)$",
            "description": "Boot options that must be there; with a !, must not: nokaslr, lsm=bpf."})),
            ),
        ],
    )
}

/// Sysctls by name. Those that are known come with their names; there are others.
fn sysctls() -> Value {
    let text = |what: &str| json!({"type": ["integer", "string"], "description": what});
    let bound = json!({"type": ["integer", "string"], "pattern": r"^(-?[0-9]+|\$.*)$"});
    let range = object("A range.", &[("min", bound.clone()), ("max", bound)]);
    let value = text("The value; none: there is no such sysctl.");
    let values = json!({"anyOf": [value, {"type": "array", "items": value, "minItems": 1}, range]});
    let known: Map<String, Value> =
        SYSCTLS.iter().map(|known| (known.name.to_owned(), values.clone())).collect();
    json!({"type": "object", "minProperties": 1, "properties": known, "additionalProperties": values,
        "propertyNames": {"pattern": r"^(<<|[A-Za-z0-9_:@-]+([./][A-Za-z0-9_:@-]+)+)$"},
        "description": "Sysctls and their values. In a guest they are set for the case, and put back after it."})
}

/// A word to select by. Those of the cases that kconform carries come with what they stand for; other folders have their own.
fn tag() -> Value {
    let mut known: Vec<Value> = carried_tags()
        .into_iter()
        .map(|(tag, meaning)| json!({"const": tag, "description": meaning}))
        .collect();
    known.push(json!({"type": "string"}));
    json!({"description": "A word to select by.", "anyOf": known})
}

// ---- steps

fn step() -> Value {
    let mut properties = vec![
        ("errno", reference("errnos", "")),
        ("ret", reference("ret", "")),
        ("save", save()),
        ("expect", reference("expect", "")),
        ("signal", reference("killed_by", "")),
        ("except", one_or_many(except())),
        ("about", reference("texts", "A remark for the reader and the failure report.")),
        ("eventually", seconds("The step is repeated until it holds, for so many seconds.")),
        ("bpf", reference("bpf", "")),
        (
            "peek",
            pair(
                "Reads the process's own memory: [address, bytes]; what is read is the output `data`.",
                "number",
                "number",
            ),
        ),
        ("poke", pair("Writes the process's own memory: [address, buffer].", "number", "piece")),
    ];
    properties.extend(blocks());
    let known: BTreeSet<&str> = properties.iter().map(|(name, _)| *name).collect();
    let calls: BTreeSet<&str> = syscall_names().filter(|name| !known.contains(name)).collect();
    properties.push(("syscall", json!({"type": ["array", "string"], "pattern": PARAMETER, "minItems": 1, "maxItems": 7,
        "description": "syscall: [name or number, …]: a system call with whatever arguments, which are not held against its prototype.",
        "items": [{"type": ["string", "integer"]}], "additionalItems": reference("arg", "")})));
    properties.extend(calls.into_iter().map(|name| (name, syscall(name))));
    let mut step = object("A step: one call with what it must do, or a block of steps.", &properties);
    step["minProperties"] = json!(1);
    step
}

/// The arguments of a system call, and its prototypes.
fn syscall(name: &str) -> Value {
    let known: Vec<_> = Arch::ALL.iter().filter_map(|&arch| prototype(arch, name)).collect();
    let Some(most) = known.iter().map(|known| known.params.len()).max() else { return reference("args", "") };
    let mut forms: Vec<String> = Vec::new();
    for known in &known {
        let params: Vec<String> = known.params.iter().map(ToString::to_string).collect();
        let form = format!("{name}({})", params.join(", "));
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    let kinds =
        (0..most).map(|nth| !known.iter().all(|k| k.params.get(nth).is_some_and(is_number))).collect();
    json!({
        "description": forms.join("; elsewhere "),
        "if": {"type": "object"},
        "then": named(&known),
        "else": reference(&shape_name(kinds), ""),
    })
}

/// Arguments by name: the man page's are offered, the kernel's own may stand there too.
fn named(known: &[Prototype]) -> Value {
    let params = || known.iter().flat_map(|known| known.params);
    let mut properties = Map::new();
    for param in params() {
        let number = params().filter(|other| other.name == param.name).all(is_number);
        properties.insert(param.name.to_owned(), reference(if number { "scalar" } else { "arg" }, ""));
    }
    let others: BTreeSet<&str> =
        params().map(|param| param.kernel_name).filter(|name| !properties.contains_key(*name)).collect();
    let others: String = others.iter().map(|name| format!("{name}|")).collect();
    json!({"properties": properties, "patternProperties": {format!("^({others}<<)$"): {}}, "additionalProperties": false})
}

/// What never is a pointer.
fn is_number(param: &Param) -> bool {
    matches!(param.kind, ParamKind::Number | ParamKind::Fd)
}

/// Arguments that may be pointers, and how many, for all calls that are alike: `args_npn`.
fn shape(name: &str) -> Option<Value> {
    let kinds = name.strip_prefix(SHAPE)?;
    let items: Vec<Value> =
        kinds.chars().map(|kind| reference(if kind == 'n' { "scalar" } else { "arg" }, "")).collect();
    // Draft 7 wants one schema at least in such a list.
    let items = if items.is_empty() { json!({}) } else { json!(items) };
    let mut args = list("", items);
    args["maxItems"] = json!(kinds.len());
    Some(args)
}

fn shape_name(pointers: Vec<bool>) -> String {
    let kinds = pointers.into_iter().map(|pointer| if pointer { 'p' } else { 'n' });
    SHAPE.chars().chain(kinds).collect()
}

/// The shapes that system calls refer to.
fn shapes_in(schema: &Value, found: &mut BTreeSet<String>) {
    let calls = schema["properties"].as_object().into_iter().flat_map(Map::values);
    let names = calls.filter_map(|call| call["else"]["$ref"].as_str()?.strip_prefix("#/definitions/"));
    found.extend(names.filter(|name| name.starts_with(SHAPE)).map(str::to_owned));
}

/// How the names of shapes begin.
const SHAPE: &str = "args_";

fn blocks() -> Vec<(&'static str, Value)> {
    let steps = |about: &str| reference("steps", about);
    vec![
        ("fork", steps("In a child that inherits everything; it must finish well.")),
        ("exec", steps("In a fresh image after execve, with the fds that survive it.")),
        (
            "unprivileged",
            json!({"description": "In a child as uid 65534, with no capabilities or those that are named.", "anyOf": [
                steps(""),
                object("", &[
                    ("capabilities", one_or_many(json!({"anyOf": [reference("capability", ""), {"type": "string", "pattern": PARAMETER}]}))),
                    ("steps", steps("The steps of the child.")),
                ]),
            ]}),
        ),
        ("parallel", list("Each list in a thread of its own, started together.", steps(""))),
        (
            "repeat",
            object(
                "So many times.",
                &[
                    ("times", reference("number", "How often.")),
                    ("as", json!({"type": "string", "description": "The name that counts from 0."})),
                    ("steps", steps("What is repeated.")),
                ],
            ),
        ),
        (
            "send_fd",
            object(
                "In a child that receives the fd over a UNIX socket, as $fd.",
                &[("fd", reference("number", "What is sent.")), ("steps", steps("The steps of the child."))],
            ),
        ),
        (
            "sysctl",
            json!({"type": "object", "description": "With sysctls set, and put back afterwards; the case must be exclusive and guest_only.",
            "properties": {"steps": steps("What runs meanwhile.")}, "additionalProperties": reference("number", "")}),
        ),
    ]
}

fn except() -> Value {
    object(
        "Another outcome under a condition; the first that is met counts.",
        &[
            ("when", reference("requires", "Where.")),
            ("errno", reference("errnos", "")),
            ("ret", reference("ret", "")),
            ("expect", reference("expect", "")),
            ("signal", reference("killed_by", "")),
            ("because", reference("texts", "Why.")),
        ],
    )
}

fn save() -> Value {
    json!({
        "description": "`save: map` keeps the return value as $map; `save: {id: next_id, fd: ret}` keeps outputs by name.",
        "type": ["string", "object"],
        "additionalProperties": {"type": "string"},
    })
}

// ---- bpf

/// A command that comes with a `struct bpf_common_attr`, or another sum of constants.
const WITH_COMMON_ATTRS: &str = r"\|";

/// The attr that goes with each command.
fn bpf_call() -> Value {
    let twice = |command: &Command| (command.name == "BPF_PROG_TEST_RUN").then_some("BPF_PROG_RUN");
    let names: Vec<&str> = bpf::commands().flat_map(|c| std::iter::once(c.name).chain(twice(c))).collect();
    let rules: Vec<Value> = bpf::commands()
        .map(|command| {
            let names: Vec<&str> = std::iter::once(command.name).chain(twice(command)).collect();
            json!({
                "if": {"items": [{"enum": names}]},
                "then": {"items": [{}, reference(&attr_name(command), "")]},
            })
        })
        .collect();
    json!({
        "description": "bpf: [COMMAND, {field: …}, size]; without a size, that of the attr that the command takes. With \
                        BPF_COMMON_ATTRS: bpf: [COMMAND | BPF_COMMON_ATTRS, {field: …}, size, {log_buf: …}, size].",
        "type": ["array", "string"],
        "pattern": PARAMETER,
        "minItems": 1,
        "maxItems": 5,
        "items": [
            {"anyOf": [
                {"enum": names},
                {"type": "integer"},
                {"type": "string", "pattern": PARAMETER},
                {"type": "string", "pattern": WITH_COMMON_ATTRS},
            ]},
            {"if": {"type": "object"}, "then": {}, "else": reference("attr", "")},
            reference("number", "The size of the attr."),
            {"if": {"type": "object"}, "then": reference(&attr_name(&bpf::COMMON_ATTR), ""), "else": reference("attr", "")},
            reference("number", "The size of what all commands have in common."),
        ],
        "allOf": rules,
    })
}

fn attr_name(command: &Command) -> String {
    format!("attr_{}", command.name)
}

fn attr(command: &Command) -> Value {
    let mut properties = Map::new();
    for known in command.fields {
        properties.insert(known.name.to_owned(), field(known));
        if let Some(part) = command.part {
            properties.insert(format!("{part}.{}", known.name), field(known));
        }
    }
    let fields = json!({
        "type": "object",
        "properties": properties,
        "patternProperties": {OFFSET: reference("field", "Bytes at an offset, past the end too."), "^<<$": {}},
        "additionalProperties": false,
    });
    json!({
        "description": format!("The attr of {} (number {}, {} bytes, Linux {}).", command.name, command.number, command.size, command.since),
        "anyOf": [fields, reference("address", ""), reference("number", ""), reference("piece", "")],
    })
}

fn field(field: &Field) -> Value {
    let kind = match field.kind {
        FieldKind::Int => "a number",
        FieldKind::Fd => "a file descriptor",
        FieldKind::Pointer => "a pointer: a buffer may be written in place",
        FieldKind::Chars => "characters in place",
    };
    let mut about = format!("{kind}; {} bytes at {}", field.size, field.offset);
    if let Some(count) = field.count_of {
        about.push_str(&format!("; left out, it is computed from {}", count.buffers.join(" or ")));
    }
    match field.kind {
        FieldKind::Int | FieldKind::Fd => reference("number", &about),
        FieldKind::Pointer => reference("arg", &about),
        FieldKind::Chars => reference("field", &about),
    }
}

// ---- buffers and what they must hold

fn piece() -> Value {
    let numbers = |about: &str| described(one_or_many(reference("number", "")), about);
    object(
        "A buffer, or a part of one.",
        &[
            ("u8", numbers("Bytes.")),
            ("u16", numbers("Numbers of 2 bytes.")),
            ("u32", numbers("Numbers of 4 bytes.")),
            ("u64", numbers("Numbers of 8 bytes.")),
            ("i32", numbers("Signed numbers of 4 bytes.")),
            (
                "str",
                json!({"type": ["string", "number", "boolean", "null"], "description": "Text that ends in NUL; $name stands for a saved number."}),
            ),
            ("hex", json!({"type": ["string", "number"], "description": "Bytes: \"de ad be ef\"."})),
            ("zero", reference("number", "So many zeros.")),
            ("fill", pair("[byte, count]", "number", "number")),
            ("out", reference("number", "So many bytes, checked or saved afterwards.")),
            (
                "percpu",
                described(
                    reference("pieces", ""),
                    "A value for each possible CPU, each padded to 8 bytes; a list: one a CPU.",
                ),
            ),
            ("list", list("Pieces end to end.", reference("piece", ""))),
            (
                "addr_of",
                described(reference("pieces", ""), "The address of another buffer with these pieces."),
            ),
            (
                "insns",
                list(
                    "BPF instructions in the macros of the kernel's filter.h.",
                    json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]}),
                ),
            ),
            ("times", pair("[count, piece]: the piece so often.", "number", "piece")),
            ("struct", reference("structure", "")),
            ("btf", reference("btf", "")),
            (
                "bytes",
                json!({"type": "string", "pattern": PARAMETER, "description": "A saved buffer: $name."}),
            ),
            ("as", json!({"type": "string", "description": "A name for `expect` and `save`."})),
        ],
    )
}

/// A structure: those of the uapi headers have known members, of others the kernel's BTF knows.
fn structure() -> Value {
    let names: BTreeSet<&str> = structure_names().collect();
    let rules: Vec<Value> = names
        .iter()
        .map(|name| {
            let members: Map<String, Value> =
                member_names(name).into_iter().map(|member| (member.to_owned(), json!({}))).collect();
            json!({
                "if": {"items": [{"const": name}]},
                "then": {"items": [{}, {"properties": members, "patternProperties": {"^<<$": {}}, "additionalProperties": false}]},
            })
        })
        .collect();
    json!({
        "type": "array", "minItems": 2, "maxItems": 2,
        "description": "[name, {member: value}]: a structure of the uapi headers or, where they lack the name, of the kernel's BTF, whose members are pieces; zeros but for these members; a member of a member is a.b.",
        "items": [
            {"anyOf": [{"enum": names}, {"type": "string"}]},
            {"type": ["object", "string"], "patternProperties": {"^<<$": {}}},
        ],
        "allOf": rules,
        "if": {"items": [{"not": {"enum": names}}]},
        "then": {"items": [{}, {"patternProperties": {"^<<$": {}}, "additionalProperties": reference("piece", "")}]},
    })
}

/// BTF: types, or what else its header says.
fn btf() -> Value {
    let number = || reference("number", "");
    let mut keys: Vec<(&str, Value)> = HEADER_KEYS.iter().map(|key| (*key, number())).collect();
    for (key, schema) in &mut keys {
        match *key {
            "types" => *schema = list("The types, numbered from 1.", json!({})),
            "strings" => {
                *schema = json!({"description": "The strings in their order, as far as it matters; or bytes.",
                "anyOf": [{"type": "array", "items": {"type": ["string", "number"]}}, reference("piece", ""), {"type": "string"}]});
            }
            _ => {}
        }
    }
    let types = list(
        "BTF as types, numbered from 1.",
        json!({"anyOf": [reference("btf_type", ""), {"type": ["array", "string"]}]}),
    );
    json!({"anyOf": [types, object("BTF as types, and what its header says.", &keys)]})
}

/// A type of BTF, or bytes in its place.
fn btf_type() -> Value {
    let of = |about: &str| json!({"type": ["string", "integer"], "description": about});
    let elements = |about: &str, keys: &[&str]| {
        let keys: Vec<(&str, Value)> = keys.iter().map(|key| (*key, json!({}))).collect();
        list(about, object("", &keys))
    };
    let word = || reference("number", "");
    let mut keys: Vec<(&str, Value)> =
        kinds().map(|(kind, _)| (kind, of("The type's name, or what it is of."))).collect();
    keys.extend([
        ("name", of("Its name, where its kind has another thing behind its key.")),
        ("name_off", word()),
        ("size", word()),
        ("type", of("A type, by its name or number; void is 0.")),
        ("vlen", word()),
        ("kind_flag", truth("The topmost bit of `info`.")),
        ("info", word()),
        ("encoding", json!({"description": "signed, char, bool, several of them, or a number."})),
        ("bits", word()),
        ("offset", word()),
        ("index", of("The type of the index.")),
        ("count", word()),
        (
            "members",
            elements("The members: offset in bytes, or bit_offset; bits of a bit field.", MEMBER_KEYS),
        ),
        ("values", elements("The values.", VALUE_KEYS)),
        ("of", json!({"enum": ["struct", "union"], "description": "What is declared."})),
        ("linkage", json!({"anyOf": [{"enum": ["static", "global", "extern"]}, word()]})),
        ("params", elements("The parameters.", PARAM_KEYS)),
        ("vars", elements("The variables of a section.", VAR_KEYS)),
        ("component", word()),
    ]);
    json!({"anyOf": [object("A type.", &keys), reference("piece", "")]})
}

fn want() -> Value {
    let pattern = || json!({"anyOf": [{"type": ["string", "number"]}, reference("piece", "")]});
    let relation = object(
        "What memory must hold.",
        &[
            ("contains", described(pattern(), "It contains this text or these bytes.")),
            ("prefix", described(pattern(), "It begins with this.")),
            ("not", reference("want", "It does not hold this.")),
            ("any", list("It holds one of these.", reference("want", ""))),
            ("min", reference("number", "At least.")),
            ("max", reference("number", "At most.")),
        ],
    );
    json!({"anyOf": [reference("number", ""), relation, reference("piece", "")]})
}

fn range() -> Value {
    object("", &[("min", reference("number", "At least.")), ("max", reference("number", "At most."))])
}

// ---- forms

/// A mapping with these keys and no others, which may be merged into and may be a parameter.
fn object(about: &str, properties: &[(&str, Value)]) -> Value {
    let mut keys: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    keys.insert("<<".into(), json!({"description": "YAML's merge: the earlier mapping wins."}));
    let schema = json!({
        "type": ["object", "string"],
        "pattern": PARAMETER,
        "properties": keys,
        "additionalProperties": false,
    });
    described(schema, about)
}

fn list(about: &str, items: Value) -> Value {
    described(json!({"type": ["array", "string"], "pattern": PARAMETER, "items": items}), about)
}

fn pair(about: &str, first: &str, second: &str) -> Value {
    let items = [reference(first, ""), reference(second, "")];
    described(json!({"type": "array", "minItems": 2, "maxItems": 2, "items": items}), about)
}

fn one_or_many(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "array", "items": schema}]})
}

fn words<'w>(words: impl Iterator<Item = &'w str>, about: &str) -> Value {
    let words: BTreeSet<&str> = words.collect();
    described(json!({"enum": words}), about)
}

fn truth(about: &str) -> Value {
    described(json!({"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": PARAMETER}]}), about)
}

fn seconds(about: &str) -> Value {
    let number = json!({"type": "number", "exclusiveMinimum": 0, "maximum": 86400});
    described(json!({"anyOf": [number, {"type": "string", "pattern": PARAMETER}]}), about)
}

/// A definition with words of its own beside it, which draft 7 takes only around a reference.
fn reference(name: &str, about: &str) -> Value {
    let reference = json!({"$ref": format!("#/definitions/{name}")});
    if about.is_empty() { reference } else { json!({"description": about, "allOf": [reference]}) }
}

fn described(mut schema: Value, about: &str) -> Value {
    if !about.is_empty() {
        schema["description"] = json!(about);
    }
    schema
}
