//! Finding a function by name, or the reason why there is none.

use super::{Function, tables};
use crate::options::Dialect;

/// What a name is.
pub(crate) enum Lookup {
    Found(&'static Function),
    /// Known elsewhere, refused here: why, and what to do.
    Refused(&'static str),
    /// Known nowhere: a hint to append, or nothing.
    Unknown(String),
}

/// Finds `name` in the dialect.
pub(crate) fn look_up(name: &str, dialect: Dialect) -> Lookup {
    if let Some(function) = find(name) {
        return match dialect {
            Dialect::Own if !function.own => Lookup::Refused(NOT_IN_OWN),
            _ => Lookup::Found(function),
        };
    }
    for (names, reason) in REFUSED {
        if names.contains(&name) {
            return Lookup::Refused(reason);
        }
    }
    Lookup::Unknown(hint(name))
}

fn find(name: &str) -> Option<&'static Function> {
    let by_name = |name: &str| tables().into_iter().flatten().find(|function| function.name == name);
    by_name(name).or_else(|| {
        let (_, original) = ALIASES.iter().find(|(alias, _)| *alias == name)?;
        by_name(original)
    })
}

/// Names that do the same as another one: Sprig's `must` functions end in an error where the others end in a panic,
/// which is an error of the rendering as well.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("sprig_biggest", "sprig_max"),
    ("sprig_int64", "sprig_int"),
    ("sprig_mustAppend", "sprig_append"),
    ("sprig_mustChunk", "sprig_chunk"),
    ("sprig_mustCompact", "sprig_compact"),
    ("sprig_mustDeepCopy", "sprig_deepCopy"),
    ("sprig_mustFirst", "sprig_first"),
    ("sprig_mustHas", "sprig_has"),
    ("sprig_mustInitial", "sprig_initial"),
    ("sprig_mustLast", "sprig_last"),
    ("sprig_mustMerge", "sprig_merge"),
    ("sprig_mustMergeOverwrite", "sprig_mergeOverwrite"),
    ("sprig_mustPrepend", "sprig_prepend"),
    ("sprig_mustPush", "sprig_append"),
    ("sprig_mustRegexFind", "sprig_regexFind"),
    ("sprig_mustRegexFindAll", "sprig_regexFindAll"),
    ("sprig_mustRegexMatch", "sprig_regexMatch"),
    ("sprig_mustRegexReplaceAll", "sprig_regexReplaceAll"),
    ("sprig_mustRegexReplaceAllLiteral", "sprig_regexReplaceAllLiteral"),
    ("sprig_mustRegexSplit", "sprig_regexSplit"),
    ("sprig_mustRest", "sprig_rest"),
    ("sprig_mustReverse", "sprig_reverse"),
    ("sprig_mustSlice", "sprig_slice"),
    ("sprig_mustToJson", "toJSON"),
    ("sprig_mustToPrettyJson", "toJSONPretty"),
    ("sprig_mustToRawJson", "sprig_toRawJson"),
    ("sprig_mustUniq", "sprig_uniq"),
    ("sprig_mustWithout", "sprig_without"),
    ("sprig_osBase", "sprig_base"),
    ("sprig_osClean", "sprig_clean"),
    ("sprig_osDir", "sprig_dir"),
    ("sprig_osExt", "sprig_ext"),
    ("sprig_osIsAbs", "sprig_isAbs"),
    ("sprig_push", "sprig_append"),
    ("sprig_trimall", "sprig_trimAll"),
    ("sprig_tuple", "sprig_list"),
];

/// Further names of a function.
pub(crate) fn aliases(name: &str) -> impl Iterator<Item = &'static str> {
    ALIASES.iter().filter(move |(_, original)| *original == name).map(|(alias, _)| *alias)
}

/// Every refused name with its reason.
pub(crate) fn refusals() -> impl Iterator<Item = (&'static str, &'static str)> {
    REFUSED.iter().flat_map(|(names, reason)| names.iter().map(move |name| (*name, *reason)))
}

fn hint(name: &str) -> String {
    let sprig = format!("sprig_{name}");
    if find(&sprig).is_some() {
        return format!("; Sprig's is called {sprig}");
    }
    let same = tables().into_iter().flatten().find(|function| function.name.eq_ignore_ascii_case(name));
    same.map_or_else(String::new, |function| format!("; did you mean {}?", function.name))
}

const NOT_IN_OWN: &str = "here the Grant says what is read: name the secret there and write {{ .secret.key }}";
const CONSUL_NOMAD: &str = "it needs Consul or Nomad; read the value from a secret instead";
const RANDOM: &str = "its result is random, so every rendering would change the file; store the value as a secret";
const CLOCK: &str = "its result depends on the time, so every rendering would change the file";
const NETWORK: &str = "it looks up the network or the host; write the value into the template or a secret";
const CRYPTO: &str = "it makes new keys, certificates or salted hashes at every rendering; store the value as a secret";
const PROGRAM: &str = "it would start a program; compute the value before and store it as a secret";
const DEBUG: &str = "it dumps values for debugging, which a secret must not meet";
const CALL: &str = "there are no function values in these templates";
const LATER: &str = "it is not implemented; parse the value before and store it as separate keys";

const REFUSED: &[(&[&str], &str)] = &[
    (
        &[
            "key",
            "keyExists",
            "keyOrDefault",
            "ls",
            "safeLs",
            "tree",
            "safeTree",
            "service",
            "services",
            "node",
            "nodes",
            "connect",
            "caLeaf",
            "caRoots",
            "datacenters",
            "partitions",
            "peerings",
            "exportedServices",
            "importedServices",
            "byKey",
            "byMeta",
            "byPort",
            "byTag",
            "explode",
            "nomadServices",
            "nomadService",
            "nomadVar",
            "nomadVarList",
            "nomadVarListSafe",
            "nomadVarExists",
        ],
        CONSUL_NOMAD,
    ),
    (
        &[
            "sprig_randAlpha",
            "sprig_randAlphaNum",
            "sprig_randAscii",
            "sprig_randNumeric",
            "sprig_randBytes",
            "sprig_randInt",
            "sprig_uuidv4",
            "sprig_shuffle",
        ],
        RANDOM,
    ),
    (
        &[
            "sprig_now",
            "sprig_ago",
            "sprig_date",
            "sprig_date_in_zone",
            "sprig_date_modify",
            "sprig_dateInZone",
            "sprig_dateModify",
            "sprig_htmlDate",
            "sprig_htmlDateInZone",
            "sprig_unixEpoch",
            "sprig_mustDateModify",
            "sprig_must_date_modify",
            "sprig_toDate",
            "sprig_mustToDate",
        ],
        CLOCK,
    ),
    (&["sockaddr", "sprig_getHostByName", "sprig_env", "sprig_expandenv"], NETWORK),
    (
        &[
            "sprig_genPrivateKey",
            "sprig_derivePassword",
            "sprig_buildCustomCert",
            "sprig_genCA",
            "sprig_genCAWithKey",
            "sprig_genSelfSignedCert",
            "sprig_genSelfSignedCertWithKey",
            "sprig_genSignedCert",
            "sprig_genSignedCertWithKey",
            "sprig_encryptAES",
            "sprig_decryptAES",
            "sprig_bcrypt",
            "sprig_htpasswd",
        ],
        CRYPTO,
    ),
    (&["plugin"], PROGRAM),
    (&["spew_dump", "spew_printf", "spew_sdump", "spew_sprintf"], DEBUG),
    (&["call"], CALL),
    (&["sprig_semver", "sprig_semverCompare"], LATER),
];
