"""Every mistake of a project, with file, line, column, the line itself and what to do."""

from __future__ import annotations

import time

import pytest

from headwater.api import check_project
from headwater.errors import Mistake, ProjectMistakes

SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    columns:
      id: bigint
      v: {type: integer, min: 0}
"""
FIRST = "SELECT id,\n  v\nFROM s.t\n"


def with_column(spec: str) -> dict[str, str]:
    return {"sources/s.yaml": SOURCE.replace("v: {type: integer, min: 0}", f"v: {spec}")}


def with_lines(*lines: str) -> dict[str, str]:
    return {"sources/s.yaml": SOURCE + "".join(f"    {line}\n" for line in lines)}


def model(text: str, path: str = "models/m/a.sql") -> dict[str, str]:
    return {path: text}


def found(project, files: dict[str, str], **options) -> list[Mistake]:
    made = project(files, **{"source": SOURCE, **options})
    return sorted(check_project(made.folder)[1])


def case(files, expected, id):
    return pytest.param(files, expected, id=id)


S, A, C = "sources/s.yaml", "models/m/a.sql", "checks/c.sql"

# What a column may say, and where, what and what next if it cannot mean that.
VOCABULARY = [
    (
        "a code for no value of the type",
        "{type: boolean, values: {Y: maybe}}",
        35,
        "the value must be boolean",
        None,
    ),
    ("no codes", "{values: [Y, N]}", 11, None, "{Y: true}"),
    (
        "codes and formats",
        "{type: date, values: {x: 2020-01-01}, format: '%Y'}",
        7,
        "`values` says what each text stands for: leave `format` out",
        None,
    ),
    (
        "a format of several that DuckDB does not know",
        "{type: date, format: ['%Y', '%Q']}",
        23,
        "the format is none that DuckDB knows",
        None,
    ),
    (
        "a format that is no text",
        "{type: date, format: [1]}",
        23,
        "a format is a text, or a list of them",
        None,
    ),
    (
        "null words that are no texts",
        "{null_values: [1.5]}",
        11,
        "texts of the input are meant",
        "put each of them in quotes",
    ),
    (
        "trimming a nested value",
        "{type: 'integer[]', trim: true}",
        7,
        "`trim` is for texts, not for INTEGER[]",
        None,
    ),
    (
        "a separator of no number",
        "{type: date, decimal_separator: ','}",
        7,
        "separators are for numbers, not for DATE",
        None,
    ),
    (
        "a separator that is a digit",
        "{type: integer, thousands_separator: '1'}",
        26,
        "a separator is one character, and none of a number",
        None,
    ),
    (
        "separators that are the same",
        "{type: integer, thousands_separator: '.'}",
        7,
        "`decimal_separator` and `thousands_separator` must differ",
        None,
    ),
    (
        "a gap filled in two ways",
        "{type: integer, fill: {from: id, value: 1}}",
        26,
        "`fill` takes one of `from`, `value`, `expression` and `previous`",
        None,
    ),
    (
        "a gap filled from an unknown column",
        "{type: bigint, fill: {from: idd}}",
        32,
        "the contract has no column 'idd'",
        "did you mean 'id'?",
    ),
    (
        "a gap filled from another type",
        "{type: date, fill: {from: id}}",
        30,
        "it gives bigint, and the column is date",
        "say how it becomes one: CAST(… AS date)",
    ),
    (
        "a gap filled by no value of the type",
        "{type: integer, fill: {value: x}}",
        26,
        "`fill` must be integer",
        None,
    ),
    (
        "a gap filled by a value that breaks a rule",
        "{type: integer, min: 0, fill: {value: -1}}",
        34,
        "the value of `fill` breaks the column's own `min`",
        None,
    ),
    (
        "looking back by an unknown column",
        "{fill: {previous: {by: idd}}}",
        29,
        "the contract has no column 'idd'",
        "did you mean 'id'?",
    ),
    (
        "a computed value that may be rounded",
        "{type: integer, default: {expression: id * 1.5}}",
        26,
        None,
        "say how it becomes one: CAST(… AS integer)",
    ),
    (
        "a computed value over an unknown column",
        "{type: bigint, default: {expression: idd}}",
        25,
        "the contract has no column 'idd'",
        "did you mean 'id'?",
    ),
    (
        "a computed bound over an unknown column",
        "{type: integer, max: {expression: vv}}",
        26,
        "the contract has no column 'vv'",
        "did you mean 'v'?",
    ),
    (
        "a computed value that is none",
        "{type: integer, max: {expression: sum(id)}}",
        26,
        "a value looks at one row: no aggregates and windows",
        "compute it in a model",
    ),
    (
        "a computed value with an unknown function",
        "{type: integer, max: {expression: nofunc(id)}}",
        26,
        None,
        None,
    ),
    (
        "a value of two kinds",
        "{type: integer, max: {expression: id, value: 1}}",
        26,
        "a value is a constant, or {expression: SQL}",
        None,
    ),
    (
        "a list where a value is meant",
        "{type: integer, max: [1]}",
        26,
        "one value is meant, not a list",
        None,
    ),
    ("a random value", "{type: double, default: {expression: random()}}", 25, None, None),
    (
        "a value instead that is none of the type",
        "{type: integer, min: 0, otherwise: {value: x}}",
        34,
        "`otherwise` must be integer",
        None,
    ),
    (
        "a value instead that breaks the rule",
        "{type: integer, min: 0, otherwise: {value: -1}}",
        34,
        "the value of `otherwise` breaks the column's own `min`",
        None,
    ),
    (
        "a value instead written as a remedy",
        "{type: integer, min: 0, otherwise: 0}",
        34,
        "a value instead is written {value: …} or {expression: SQL}",
        None,
    ),
    (
        "an unknown remedy",
        "{type: integer, min: 0, otherwise: nul}",
        34,
        None,
        "did you mean 'null'?",
    ),
    (
        "a missing column that cannot be filled",
        "{type: integer, missing_column: default}",
        7,
        "`missing_column: default` needs a `default` or a `fill`",
        None,
    ),
    (
        "a missing column that must be there",
        "{type: integer, required: true, missing_column: null}",
        7,
        "`missing_column: null` on a required column can never land a row",
        None,
    ),
    (
        "a field that the struct does not have",
        "{type: 'struct(age integer)', fields: {agee: {min: 0}}}",
        7,
        None,
        None,
    ),
    (
        "fields of no struct",
        "{type: integer, fields: {a: {min: 0}}}",
        7,
        "`fields` is for a struct, not for INTEGER",
        None,
    ),
    (
        "fields of a text",
        "{fields: {a: {min: 0}}}",
        7,
        "`fields` is for a struct, not for VARCHAR",
        None,
    ),
    (
        "items of no list",
        "{type: integer, items: {min: 0}}",
        7,
        "`items` is for a list, not for INTEGER",
        None,
    ),
    (
        "a bound inside that is none of its type",
        "{type: 'integer[]', items: {min: x}}",
        38,
        "`min` must be integer",
        None,
    ),
    (
        "bounds inside without room",
        "{type: 'integer[]', items: {min: 2, max: 1}}",
        38,
        "`min` is greater than `max`",
        None,
    ),
    (
        "a bound inside over an unknown column",
        "{type: 'integer[]', items: {max: {expression: idd}}}",
        38,
        "the contract has no column 'idd'",
        "did you mean 'id'?",
    ),
    (
        "a pattern inside that DuckDB does not know",
        "{type: 'varchar[]', items: {pattern: '(?=a)b'}}",
        38,
        None,
        None,
    ),
    (
        "an unknown key inside",
        "{type: 'varchar[]', items: {patern: x}}",
        38,
        "unknown key 'patern'",
        "did you mean 'pattern'?",
    ),
    (
        "a part with a default",
        "{type: 'integer[]', items: {min: 0, otherwise: default}}",
        7,
        "a part of a value has no `default` (items)",
        None,
    ),
]

CASES = [
    # unknown keys
    case(
        {"headwater.yaml": "name: t\nlaek: x\n"},
        ("headwater.yaml", 2, 1, "unknown key 'laek'", "did you mean 'lake'?", "laek: x"),
        "unknown setting",
    ),
    case(
        with_lines("keyy: id"),
        (S, 8, 5, "unknown key 'keyy'", "did you mean 'key'?", "    keyy: id"),
        "unknown key of a dataset",
    ),
    case(
        with_column("{type: integer, requird: true}"),
        (S, 7, 26, "unknown key 'requird'", "did you mean 'required'?",
         "      v: {type: integer, requird: true}"),
        "unknown key of a column",
    ),
    case(
        with_lines("dialect: {delimeter: ';'}"),
        (S, 8, 15, "unknown key 'delimeter'", "did you mean 'delimiter'?",
         "    dialect: {delimeter: ';'}"),
        "unknown key of a dialect",
    ),
    case(
        model("/*\ndescription: x\nownr: y\n*/\n" + FIRST),
        (A, 3, 1, "unknown key 'ownr'", "did you mean 'owner'?", "ownr: y"),
        "unknown key of a model",
    ),
    case(
        model("\n\n  /* ownr: y */\n" + FIRST),
        (A, 3, 6, "unknown key 'ownr'", "did you mean 'owner'?", "  /* ownr: y */"),
        "unknown key on the first line of the comment",
    ),
    case(
        {"models/m/p.py": "import headwater as hw\n\n\n@hw.model(\n    kye='id',\n)\n"
                          "def p(t: hw.Input('s.t')):\n    return t\n"},
        ("models/m/p.py", 5, 5, "unknown key 'kye'", "did you mean 'key'?", "    kye='id',"),
        "unknown keyword of a Python model",
    ),
    # types
    case(
        with_column("intger"),
        (S, 7, 7, "unknown type 'intger'", "did you mean 'integer'?", "      v: intger"),
        "unknown type",
    ),
    case(
        with_column("\n        type: decimal(50,2)"),
        (S, 8, 9, "'decimal(50,2)': a decimal has 1 to 38 digits, scale within them", None,
         "        type: decimal(50,2)"),
        "a decimal that is too long",
    ),
    case(
        model("/*\ncolumns:\n  v: {type: txet}\n*/\n" + FIRST),
        (A, 3, 7, "unknown type 'txet'", None, "  v: {type: txet}"),
        "unknown type in a model's comment",
    ),
    # contracts
    case(
        with_column("{type: integer, otherwise: quarantene}"),
        (S, 7, 26, None, None, "      v: {type: integer, otherwise: quarantene}"),
        "unknown remedy",
    ),
    case(
        with_column("{type: integer, otherwise: clip}"),
        (S, 7, 7, "`otherwise: clip` needs a `min` or a `max`", "",
         "      v: {type: integer, otherwise: clip}"),
        "a remedy that cannot work",
    ),
    case(
        with_lines("key: idd"),
        (S, 8, 5, "the contract has no column 'idd'", "did you mean 'id'?", "    key: idd"),
        "a key that is no column",
    ),
    case(
        with_lines("rules:", "  - {name: r, check: vv > 1}"),
        (S, 9, 19, "the contract has no column 'vv'", "did you mean 'v'?",
         "      - {name: r, check: vv > 1}"),
        "a rule over an unknown column",
    ),
    case(
        with_lines("rules:", "  - {name: r, check: nofunc(v) > 1}"),
        (S, 9, 19, None, None, "      - {name: r, check: nofunc(v) > 1}"),
        "a rule with an unknown function",
    ),
    case(
        with_lines("rules:", "  - {name: r, check: v >}"),
        (S, 9, 19, "the expression does not parse", "", "      - {name: r, check: v >}"),
        "a rule that does not parse",
    ),
    case(
        with_lines("rules:", "  - {name: r, check: v = (select 1)}"),
        (S, 9, 19, "a row rule looks at one row: no subqueries",
         "write it as a query, in checks/NAME.sql",
         "      - {name: r, check: v = (select 1)}"),
        "a rule with a subquery",
    ),
    *[
        case(
            with_lines("rules:", f"  - {{name: r, check: '{text}'}}"),
            (S, 9, 19, None, None, f"      - {{name: r, check: '{text}'}}"),
            f"a rule that is no condition: {text}",
        )
        for text in ("", "*", "v, id", "v > ?", "id b", "count(*) > 1", "sum(v) over () > 1")
    ],
    case(
        with_column("{pattern: '(a'}"),
        (S, 7, 11, None, "", "      v: {pattern: '(a'}"),
        "a pattern that is none",
    ),
    case(
        with_column("{pattern: '(?=a)b'}"),
        (S, 7, 11, None, None, "      v: {pattern: '(?=a)b'}"),
        "a pattern that DuckDB does not know",
    ),
    *[
        case(
            with_column(spec),
            (S, 7, column, None, None, f"      v: {spec}"),
            f"a value that is none of its type: {spec}",
        )
        for spec, column in (
            ("{type: integer, min: abc}", 26),
            ("{type: tinyint, max: 1000}", 26),
            ("{type: integer, default: abc}", 26),
            ("{type: integer, accepted: [1, abc]}", 26),
        )
    ],
    case(
        with_column("{type: integer, min: 0, default: -7}"),
        (S, 7, 34, None, None, "      v: {type: integer, min: 0, default: -7}"),
        "a default that breaks its rules",
    ),
    *[
        case(with_column(spec), (S, 7, column, message, hint, f"      v: {spec}"), f"{id}: {spec}")
        for id, spec, column, message, hint in VOCABULARY
    ],
    case(
        with_lines("decimal_separator: '.'", "thousands_separator: '.'"),
        (S, 9, 5, "`decimal_separator` and `thousands_separator` must differ", None,
         "    thousands_separator: '.'"),
        "separators of a dataset that are the same",
    ),
    *[
        case(
            with_lines(f"freshness: {text}"),
            (S, 8, None, message, None, None),
            f"freshness: {text}",
        )
        for text, message in (
            ("{column: idd, warn_after: 1 day}", "the contract has no column 'idd'"),
            ("{column: v, warn_after: 1 day}", "'v' is integer, and no date or timestamp"),
            ("{column: v}", "`freshness` needs `warn_after` or `fail_after`"),
            ("{column: v, warn_after: soon}", None),
            ("{column: v, warn_after: 2 days, fail_after: 36 hours}",
             "`warn_after` is longer than `fail_after`"),
        )
    ],
    case(
        model("/*\ncolumns:\n  v: {max: {expression: idd}}\n*/\n" + FIRST),
        (A, 3, 7, "the query selects no column 'idd'", "did you mean 'id'?",
         "  v: {max: {expression: idd}}"),
        "a bound of a model over an unknown column",
    ),
    case(
        model("/*\ncolumns:\n  v: {fill: previous}\n*/\n" + FIRST),
        (A, 3, 7, "the rows of a model have no order: `previous` needs `by`", None,
         "  v: {fill: previous}"),
        "a model that looks back without an order",
    ),
    case(
        model("/*\ncolumns:\n  v: {items: {min: 1}}\n*/\n" + FIRST),
        (A, 3, 3, "`items` is for a list, not for INTEGER", None, "  v: {items: {min: 1}}"),
        "rules for the items of a model's column that is no list",
    ),
    case(
        {S: SOURCE.replace("id: bigint", "id: {type: bigint, otherwise: null}") + "    key: id\n"},
        (S, 6, 26, "a key is never missing: `otherwise: null` would make it so", None,
         "      id: {type: bigint, otherwise: null}"),
        "a key that may become NULL",
    ),
    *[
        case(with_column(spec), (S, 7, column, message, None, f"      v: {spec}"), id)
        for spec, column, message, id in (
            ("{type: 'decimal(10,2)', max: 1.234}", 34, "`max` must be decimal(10,2)",
             "a bound that its type would round"),
            ("{type: 'integer[]', default: x}", 30, "`default` must be integer[]",
             "a default that is no list"),
            ("{type: date, format: '%Q'}", 23, "the format is none that DuckDB knows",
             "a format that DuckDB does not know"),
            ("{type: integer, min: 5, max: 1}", 26, "`min` is greater than `max`",
             "bounds without room"),
            ("{type: integer, default: 7, accepted: [1], otherwise: default}", 26,
             "the default breaks the column's own `accepted`", "a default that mends nothing"),
        )
    ],
    case(
        with_lines("rules:", "  - {name: r, check: random() > 0.5}"),
        (S, 9, 19, "TRY can not be used in combination with a volatile function", None,
         "      - {name: r, check: random() > 0.5}"),
        "a rule that throws dice",
    ),
    # documents
    case(
        with_column("bigint\n      v: integer"),
        (S, 8, 7, "the key 'v' stands here twice", "keep one", "      v: integer"),
        "a column that stands twice",
    ),
    case(
        with_lines("description: a: b"),
        (S, 8, 19, "not YAML: mapping values are not allowed in this context",
         "put a text that holds ': ' in quotes", "    description: a: b"),
        "no YAML",
    ),
    case(
        {S: SOURCE.replace("connector: files", "connector: ftp")},
        (S, 1, 1, "unknown connector", "this version reads: files", "connector: ftp"),
        "unknown connector",
    ),
    case(
        {S: SOURCE.replace("data/*.csv", "${NOT_SET_ANYWHERE}/x")},
        (S, 4, 5, "the environment variable NOT_SET_ANYWHERE is not set",
         "set it, or give a default: ${NOT_SET_ANYWHERE:-…}", "    path: ${NOT_SET_ANYWHERE}/x"),
        "an unset variable",
    ),
    # names
    case(
        {"sources/built.yaml": SOURCE},
        ("sources/built.yaml", 3, 3, "built.t: 'built' is reserved", "", "  t:"),
        "a reserved name",
    ),
    case(
        model("SELECT 1 AS x", "models/m/a__b.sql"),
        ("models/m/a__b.sql", 1, 1, "m.a__b: 'a__b' holds '__', which is reserved", "",
         "SELECT 1 AS x"),
        "a name with two underscores",
    ),
    case(
        model("SELECT 1 AS x", "models/a.sql"),
        ("models/a.sql", 1, 1, "a model stands in a folder, which is its schema",
         "move it to models/staging/a.sql or the like", "SELECT 1 AS x"),
        "a model without a schema",
    ),
    case(
        model("SELECT 1 AS x", "models/s/t.sql"),
        ("models/s/t.sql", 1, 1,
         "s.t is made twice: here and at sources/s.yaml:3", "rename or remove one of them",
         "SELECT 1 AS x"),
        "two makers of one dataset",
    ),
    # between the files
    case(
        {"models/m/a.sql": "SELECT *\nFROM b.b", "models/b/b.sql": "SELECT * FROM c.c",
         "models/c/c.sql": "SELECT * FROM m.a", "models/d/d.sql": "SELECT * FROM m.a"},
        ("models/b/b.sql", 1, None, "a cycle: b.b -> c.c -> m.a -> b.b",
         "a model cannot be computed from itself", "SELECT * FROM c.c"),
        "a cycle",
    ),
    case(
        model("SELECT 1 AS x\nFROM m.a"),
        (A, 2, None, "a cycle: m.a -> m.a", "a model cannot be computed from itself", "FROM m.a"),
        "a model that reads itself",
    ),
    case(
        model("/*\nkey: id\n*/\nSELECT *\n  FROM s.tt"),
        (A, 5, None, "no dataset 's.tt'", "did you mean 's.t'?", "  FROM s.tt"),
        "an unknown table",
    ),
    case(
        model("SELECT *\n  FROM s.tt"),
        (A, 2, 8, "no dataset 's.tt'", "did you mean 's.t'?", "  FROM s.tt"),
        "the place of an unknown table",
    ),
    case(
        model("SELECT * FROM t"),
        (A, 1, 15, "no dataset 't'", "name it with its schema: s.t", "SELECT * FROM t"),
        "a table without its schema",
    ),
    case(
        {"models/m/p.py": "import headwater as hw\n\n\n@hw.model\ndef p(t: hw.Input('s.tt')):\n"
                          "    return t\n"},
        ("models/m/p.py", 5, 7, "no dataset 's.tt'", "did you mean 's.t'?",
         "def p(t: hw.Input('s.tt')):"),
        "an unknown table in a Python model",
    ),
    # SQL
    case(
        model("/* about */\n-- x\nSELECT id, -- x\n  t.vv\nFROM s.t AS t -- x\n;"),
        (A, 4, 3, 'table "t" does not have a column named "vv"', None, "  t.vv"),
        "an unknown column after comments",
    ),
    case(
        model("SELECT 'öö' AS x, -- ö\n  vv\nFROM s.t"),
        (A, 2, 3, None, None, "  vv"),
        "an unknown column after letters of two bytes",
    ),
    case(
        model("SELECT id,\n  vv\nFROM s.t"),
        (A, 2, 3, 'referenced column "vv" not found in FROM clause', "candidates: v", "  vv"),
        "an unknown column",
    ),
    case(
        model("SELECT\n  nofunc(id) AS x FROM s.t"),
        (A, 2, 3, "scalar Function with name nofunc does not exist", None,
         "  nofunc(id) AS x FROM s.t"),
        "an unknown function",
    ),
    case(
        model("SELECT id FROM s.t\nQUALIFY GROUP"),
        (A, 2, 9, 'syntax error at or near "GROUP"', "", "QUALIFY GROUP"),
        "SQL that DuckDB does not parse",
    ),
    case(
        model("/*\n*/\nSELEC id FROM s.t"),
        (A, 3, 10, None, None, "SELEC id FROM s.t"),
        "SQL that does not parse",
    ),
    case(
        model("SELECT\n  'a FROM s.t"),
        (A, 2, 3, None, None, "  'a FROM s.t"),
        "a text that never ends",
    ),
    case(
        model("SELECT id + 'x'::BLOB AS a FROM s.t"),
        (A, 1, 11, None, None, "SELECT id + 'x'::BLOB AS a FROM s.t"),
        "types that do not fit",
    ),
    case(
        model("/* about */\n"),
        (A, None, None, "there is no query here", "write one SELECT after the comment", None),
        "no query",
    ),
    case(
        model("SELECT 1 AS a;\nSELECT 2 AS b"),
        (A, 2, 1, "2 statements where one SELECT is meant",
         "a model is one query; make a model of each", "SELECT 2 AS b"),
        "two statements",
    ),
    case(
        model("CREATE TABLE x AS SELECT 1"),
        (A, 1, 1, "a CREATE statement where a SELECT is meant",
         "a model is one SELECT; Headwater writes the table", "CREATE TABLE x AS SELECT 1"),
        "no SELECT",
    ),
    case(
        model("SELECT *\nFROM read_csv('x')"),
        (A, 2, 6, "read_csv() reads past the lake", None, "FROM read_csv('x')"),
        "a query past the lake",
    ),
    case(
        model("SELECT id,\n  id FROM s.t"),
        (A, None, None, "the query selects 'id' twice", "name one of them with AS", None),
        "a column that is selected twice",
    ),
    # a model's contract
    case(
        model("/*\nowner: x\ncolumns:\n  zz: {min: 0}\n*/\n" + FIRST),
        (A, 4, 3, "the contract names 'zz', which the query does not select", "it selects: id, v",
         "  zz: {min: 0}"),
        "a contract over a column that is not selected",
    ),
    case(
        model("/*\nowner: x\nrules:\n  - {name: r, check: nope > 1}\n*/\n" + FIRST),
        (A, 4, 15, None, None, "  - {name: r, check: nope > 1}"),
        "a model's rule over an unknown column",
    ),
    case(
        model("/*\ncolumns:\n  v: {max: x}\n*/\n" + FIRST),
        (A, 3, 7, "`max` must be integer", None, "  v: {max: x}"),
        "a model's bound that is none of its column's type",
    ),
    case(
        model("/*\ncolumns:\n  V: {max: x}\n*/\n" + FIRST),
        (A, 3, 7, "`max` must be integer", None, "  V: {max: x}"),
        "a model's bound for a column in another case",
    ),
    case(
        model("/*\ncolumns:\n  v: {pattern: x}\n*/\n" + FIRST),
        (A, 3, 3, "`pattern` and `length` are for text", None, "  v: {pattern: x}"),
        "a model's pattern for a column that is no text",
    ),
    case(
        model("/*\nkey: [id, nope]\n*/\n" + FIRST),
        (A, 2, 11, "the key names 'nope', which the query does not select", None,
         "key: [id, nope]"),
        "a model's key that is not selected",
    ),
    # Python
    case(
        {"models/m/p.py": "import headwater as hw\n\n\n"
                          "@hw.model(description='ö', columns={'ä': 'txet'})\n"
                          "def p(t: hw.Input('s.t')):\n    return t\n"},
        ("models/m/p.py", 4, 37, "unknown type 'txet'", None,
         "@hw.model(description='ö', columns={'ä': 'txet'})"),
        "a mistake within a Python model's decorator",
    ),
    case(
        {"models/m/p.py": "import headwater as hw\n\n\n@hw.model\nclass P:\n    pass\n"},
        ("models/m/p.py", 5, 1, "a model is a plain function, not a class", None, "class P:"),
        "a class for a model",
    ),
    case(
        {"models/m/p.py": "import headwater as hw\n\n\n@hw.model\n"
                          "def p(t: \"hw.Input(\"):\n    return t\n"},
        ("models/m/p.py", 5, 7, "the parameter 't' names no dataset", None,
         "def p(t: \"hw.Input(\"):"),
        "an annotation that is no Python",
    ),
    case(
        {"models/m/p.py": "import headwater as hw\n\n\n@hw.model\ndef p(t):\n    return t\n"},
        ("models/m/p.py", 5, 7, "the parameter 't' names no dataset",
         'write  trips: hw.Input("staging.trips")', "def p(t):"),
        "a parameter without a dataset",
    ),
    case(
        {"models/m/p.py": "def p(:\n"},
        ("models/m/p.py", 1, 7, "not Python: invalid syntax", "", "def p(:"),
        "no Python",
    ),
    case(
        {"models/m/p.py": "import headwater as hw\nK = 'a'\n\n\n@hw.model(key=K)\n"
                          "def p(t: hw.Input('s.t')):\n    return t\n"},
        ("models/m/p.py", 5, 15, "key must be written out: models are read, not run", "",
         "@hw.model(key=K)"),
        "a keyword that is no literal",
    ),
    case(
        {"models/m/p.py": "import headwater as hw\n\n\n@hw.model\n"
                          "async def p(t: hw.Input('s.t')):\n    return t\n"},
        ("models/m/p.py", 5, 1, None, None, "async def p(t: hw.Input('s.t')):"),
        "an async model",
    ),
    # checks
    case(
        {C: "SELECT id\nFROM s.tt\n"},
        (C, 2, 6, "no dataset 's.tt'", "did you mean 's.t'?", "FROM s.tt"),
        "a check of an unknown dataset",
    ),
    case(
        {C: "/*\nowner: me\n*/\nSELECT id FROM s.t\nWHERE vv > 1\n"},
        (C, 5, 7, None, None, "WHERE vv > 1"),
        "a check of an unknown column",
    ),
    case(
        {C: "DELETE FROM s.t"},
        (C, 1, 1, "a DELETE statement where a SELECT is meant",
         "a check is one SELECT; the rows that it returns are those that break it",
         "DELETE FROM s.t"),
        "a check that is no SELECT",
    ),
    case(
        {C: "SELECT id FROM s.t; SELECT 1"},
        (C, 1, 21, "2 statements where one SELECT is meant",
         "a check is one query; make a check of each", None),
        "two checks in one file",
    ),
    case(
        {C: "SELECT id FROM s.t WHERE"},
        (C, 1, None, None, None, None),
        "a check that does not parse",
    ),
    case(
        {C: "-- why\nSELECT 1"},
        (C, 2, 1, "the check reads no dataset", "name one as schema.name", "SELECT 1"),
        "a check that reads nothing",
    ),
    case(
        {C: "/*\notherwise: quarantine\n*/\nFROM s.t"},
        (C, 2, 1, "must be one of: 'fail' or 'warn'", None, "otherwise: quarantine"),
        "a check with a remedy for rows",
    ),
    case(
        {C: "/* {severity: warn, otherwise: warn} */ FROM s.t"},
        (C, 1, 5, "`severity` and `otherwise` say the same", "keep `otherwise`", None),
        "a check with both words for its remedy",
    ),
    case(
        {C: "/*\nseverity: bad\n*/\nFROM s.t"},
        (C, 2, 1, "must be one of: 'warn' or 'error'", None, "severity: bad"),
        "a check of a severity that is none",
    ),
    case(
        {"checks/No.sql": "FROM s.t"},
        ("checks/No.sql", 1, 1, None, "rename the file", None),
        "a check with a name that is none",
    ),
    case(
        {C: "FROM s.t", "checks/more/c.sql": "FROM s.t"},
        ("checks/more/c.sql", 1, 1, "the check 'c' stands in two files: here and in checks/c.sql",
         "rename one of them", None),
        "two checks of one name",
    ),
    case(
        with_lines("row_count: {mn: 1}"),
        (S, 8, 17, "unknown key 'mn'", "did you mean 'min'?", None),
        "unknown key of a row count",
    ),
    case(
        with_lines("row_count: {min: 5, max: 1}"),
        (S, 8, 5, "`min` is greater than `max`", None, None),
        "a row count that cannot be",
    ),
    case(
        with_lines("row_count: {max_decrease: 10}"),
        (S, 8, 17, "must be a percentage", "such as 10%", None),
        "a share that is no percentage",
    ),
    case(
        with_lines("row_count: {otherwise: warn}"),
        (S, 8, 5, "a bound is missing", "`min`, `max`, or a number of rows", None),
        "a row count without a bound",
    ),
    *[
        case(
            with_lines("checks:", f"  - {{name: r, check: '{text}'}}"),
            (S, 9, 19, message, None, f"      - {{name: r, check: '{text}'}}"),
            f"a check of all rows: {text}",
        )
        for text, message in (
            ("min(vv) > 1", "the contract has no column 'vv'"),
            ("v > 1", "a check looks at all rows, and 'v' is a column of one"),
            ("sum(v)", "it gives HUGEINT, not true or false"),
            ("sum(v) > (select 1)", "a check of a contract reads no other table"),
            ("sum(v) over () > 1", "a check of a contract gives one value: no windows"),
            ("sum(v) >", "the expression does not parse"),
            ("summ(v) > 1", None),
        )
    ],
    case(
        with_lines("checks:", "  - {name: a b, check: sum(v) > 1}"),
        (S, 9, 10, "a check's name is one word of letters, digits and _", None, None),
        "a check whose name is none",
    ),
    case(
        with_lines("checks:", "  - {name: a, check: sum(v) > 1}", "  - {name: a, check: v > 1}"),
        (S, 10, 10, "two checks are named 'a'", None, None),
        "two checks of a contract with one name",
    ),
    case(
        model("/*\nchecks:\n  - {name: a, check: max(w) > 1}\n*/\n" + FIRST),
        (A, 3, 15, "the query selects no column 'w'", None, "  - {name: a, check: max(w) > 1}"),
        "a check of a model",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), CASES)
def test_a_mistake_says_what_where_and_what_next(project, files, expected):
    file, line, column, message, hint, source_line = expected
    (mistake,) = found(project, files)
    assert mistake.file == file
    assert line in (None, mistake.line)
    assert column in (None, mistake.column)
    assert message in (None, mistake.message)
    assert hint in (None, mistake.hint)
    assert source_line in (None, mistake.source_line)
    assert "sqlglot" not in mistake.message, "no insides"


def test_a_file_that_is_not_utf8_is_a_mistake(project):
    (mistake,) = found(project, {"models/m/a.sql": b"SELECT 1 AS \xe9"})
    assert (mistake.file, mistake.message) == ("models/m/a.sql", "the file is not UTF-8 text")


def test_files_may_begin_with_a_byte_order_mark(project):
    mark = "\ufeff"
    assert found(project, {"sources/s.yaml": mark + SOURCE, A: f"{mark}/* x */\n{FIRST}"}) == []


def test_files_may_end_their_lines_as_on_windows(project):
    files = {
        S: SOURCE.replace("\n", "\r\n"),
        A: "/*\r\nowner: x\r\n*/\r\nSELECT\r\n  nope FROM s.t\r\n",
    }
    (mistake,) = found(project, files)
    assert (mistake.file, mistake.line, mistake.column) == (A, 5, 3)
    assert mistake.source_line == "  nope FROM s.t"


def test_every_mistake_of_a_contract_is_said(project):
    files = with_column("{pattern: '(?=a)b'}\n      w: {type: integer, min: a, default: b}")
    files[S] += "    rules:\n      - {name: q, check: a > b}\n      - {name: r, check: nofunc(v)}\n"
    places = [(mistake.line, mistake.column) for mistake in found(project, files)]
    assert places == [(7, 11), (8, 26), (8, 34), (10, 19), (10, 19), (11, 19)]


def test_a_rule_may_look_into_a_column(project):
    parts = "{type: 'struct(x integer, l integer[])'}"
    files = with_column(parts)
    files[S] += (
        "    rules:\n      - {name: r, check: 'len(list_filter(v.l, lambda e: e > v.x)) = 0'}\n"
    )
    assert found(project, files) == []


def test_bounds_may_be_infinite(project):
    assert found(project, with_column("{type: double, min: -.inf, max: .inf}")) == []


EVERYTHING = {
    S: SOURCE.replace("{type: integer, min: 0}", "intger"),
    "sources/u.yaml": SOURCE.replace("path", "paht"),
    "models/m/a.sql": "/*\nownr: x\n*/\nSELECT 1 AS x\n",
    "models/m/b.sql": "SELECT nope FROM m.ok",
    "models/m/c.sql": "SELECT * FROM nowhere.x",
    "models/m/d.sql": "SELECT * FROM m.e",
    "models/m/e.sql": "SELECT * FROM m.d",
    "models/m/f.sql": "SELECT (",
    "models/m/ok.sql": "SELECT 1 AS x",
    "models/m/p.py": "def p(:\n",
    "models/top.sql": "SELECT 1 AS x",
}


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_files(project):
    files = [mistake.file for mistake in found(project, EVERYTHING)]
    assert files == sorted(files)
    assert {f"models/m/{x}" for x in ("a.sql", "b.sql", "c.sql", "d.sql", "f.sql", "p.py")} | {
        S,
        "sources/u.yaml",
        "models/top.sql",
    } == set(files)


def test_a_mistake_in_the_settings_hides_no_others(project):
    files = {"headwater.yaml": "name: t\nlaek: x\n", A: "SELECT nope FROM s.t"}
    assert [mistake.file for mistake in found(project, files)] == ["headwater.yaml", A]


def test_a_dataset_with_a_mistake_gives_its_readers_none(project):
    files = {
        **with_column("intger"),
        A: "SELECT id FROM s.t",
        "models/m/b.sql": "SELECT * FROM m.a",
    }
    assert [mistake.file for mistake in found(project, files)] == [S]


def test_the_command_shows_each_mistake_with_a_mark_under_the_place(project):
    made = project({A: "SELECT id,\n  vv\nFROM s.t"}, source=SOURCE)
    code, out, errors = made.cli("check")
    assert (code, out) == (2, "")
    assert errors.splitlines()[:4] == [
        'models/m/a.sql:2:3: referenced column "vv" not found in FROM clause',
        "      vv",
        "      ^",
        "    hint: candidates: v",
    ]


def test_two_hundred_files_are_checked_in_a_moment(project, capsys):
    files = {"sources/s.yaml": SOURCE, "models/l0/m.sql": FIRST}
    for number in range(1, 199):
        files[f"models/l{number}/m.sql"] = f"/*\nkey: id\n*/\nSELECT id, v FROM l{number // 2}.m\n"
    files["models/l198/m.sql"] = "SELECT nope FROM s.t"
    made = project(files, source=SOURCE)
    started = time.perf_counter()
    _, mistakes = check_project(made.folder)
    seconds = time.perf_counter() - started
    with capsys.disabled():
        print(f"\n200 files checked in {seconds:.2f} s")
    assert len(mistakes) == 1
    assert seconds < 5


# ---- secrets


def test_secrets_never_appear_in_output(project, monkeypatch):
    secret = "hunter2-very-secret"
    monkeypatch.setenv("PLACE", secret)
    monkeypatch.setenv("NUMBER", secret)
    text = SOURCE.replace("data/*.csv", "${PLACE}/*.csv").replace(
        "min: 0", "min: 0, max: ${NUMBER}"
    )
    made = project({}, source=text)
    outputs = [made.cli(*words) for words in (["check"], ["run"], ["status"], ["show", "s.t"])]
    outputs += [made.cli(*words, "--json") for words in (["check"], ["run"], ["show", "s.t"])]
    assert all(secret not in out + errors for _, out, errors in outputs)


def test_project_mistakes_carry_all_mistakes_as_values(project):
    made = project({A: "SELECT nope FROM s.t"}, source=SOURCE)
    _, mistakes = check_project(made.folder)
    as_values = ProjectMistakes(mistakes).as_dict()
    assert as_values["mistakes"][0]["file"] == A
    assert as_values["mistakes"][0]["line"] == 1
