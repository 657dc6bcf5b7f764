"""Edits of the queries of `queries.py`: such as change nothing, and such as may."""

from __future__ import annotations

import random
import re

from sqlglot import TokenType, exp, parse_one
from sqlglot.dialects.duckdb import DuckDB


def harmless(sql: str, random_: random.Random) -> str:
    """Other names of tables and CTEs, conditions in another order, other formatting."""
    for edit in random_.sample([rename, shuffle, reformat, repeat_names], 3):
        sql = edit(sql, random_)
    return respell(sql, random_)


def rename(sql: str, random_: random.Random) -> str:
    """Give every alias and CTE another name."""
    found = sorted(set(re.findall(r"\b[a-z]\d+\b", sql)) - set(re.findall(r"\bc\d+\b", sql)))
    new = random_.sample([f"n{n}" for n in range(100, 200)], len(found))
    names = dict(zip(found, new, strict=True))
    return re.sub(r"\b[a-z]\d+\b", lambda name: names.get(name[0], name[0]), sql)


def repeat_names(sql: str, random_: random.Random) -> str:
    """Call all left and right sides of joins alike, also those within each other."""
    if re.search(r"(?<!count\()\*|(^|\()FROM", sql, re.IGNORECASE):
        return sql  # behind a star nobody knows whether the inner one has the column
    return re.sub(r"\b([lr])\d+\b", r"\g<1>0", sql)


def shuffle(sql: str, random_: random.Random) -> str:
    """Put conditions that AND joins in another order."""
    tree = parse_one(sql, dialect="duckdb")
    for node in reversed(list(tree.find_all(exp.And))):
        if not isinstance(node.parent, exp.And):
            parts = list(node.flatten(unnest=False))
            random_.shuffle(parts)
            whole = parts[0]
            for part in parts[1:]:
                whole = exp.And(this=whole, expression=part)
            node.replace(whole)
    return tree.sql("duckdb")


def reformat(sql: str, random_: random.Random) -> str:
    return parse_one(sql, dialect="duckdb").sql("duckdb", pretty=random_.random() < 0.5)


def respell(sql: str, random_: random.Random) -> str:
    """Other blanks, comments, and case of all words but those that name columns of the result."""
    parts = []
    for token in DuckDB().tokenizer().tokenize(sql):
        word = sql[token.start : token.end + 1]
        if token.token_type is not TokenType.STRING and not re.fullmatch(r"c\d+", word):
            word = random_.choice([word, word.upper(), word.lower()])
            if re.fullmatch(r"[a-z]\d+", word) and random_.random() < 0.2:
                word = f'"{word}"'
        parts.append(word)
        parts.append(random_.choice([" ", " ", "\n", " /* why; AND */ ", " -- 'so\n"]))
    return "".join(parts)


_COLUMN, _FIELD = r"\bc\d\b(?! *,? *(?:FROM|from))", r"(?<=\.)(?:id|k|a|b|x|y|z|c\d)\b"
_HARMS = [
    (r"\b\d\b", ["0", "1", "2"]),
    (_COLUMN, ["c0", "c1"]),
    (_FIELD, ["id", "k", "a", "b", "x", "y", "z", "c0", "c1"]),
    (r"\b(?:id|k|a|b|x|y|z)\b(?= AS c)", ["id", "k", "a", "b", "x", "y", "z"]),
    (r"(?<=AS )c\d\b", ["c0", "c1", "C0", "d"]),
    (r" (?:<=|>|=|<) ", [" > ", " <= ", " = ", " < "]),
    (r" (?:AND|OR) ", [" AND ", " OR "]),
    (r"\b(?:sum|max|count)\(", ["sum(", "max(", "count("]),
    (r"(?:LEFT |FULL |SEMI |ANTI |)JOIN", ["JOIN", "LEFT JOIN", "FULL JOIN", "SEMI JOIN"]),
    (r"UNION ALL|UNION|EXCEPT ALL|EXCEPT|INTERSECT", ["UNION ALL", "UNION", "EXCEPT", "INTERSECT"]),
    (r"DISTINCT ", [""]),
    (r"WHERE ", ["WHERE NOT "]),
    (r"EXISTS", ["NOT EXISTS"]),
    (r"\bIN\b", ["NOT IN"]),
    (r"LIMIT 3", ["LIMIT 2", ""]),
    (r"s\.[tuv]\b", ["s.t", "s.u", "s.v"]),
    (r"\b[efglqrwx]\d+(?=\.)", None),
    (r"(?<=(?:FROM|JOIN) )[wx]\d+\b", None),
    (r"\(([^()]*)\)", [r"\1"]),
]


def harmful(sql: str, random_: random.Random) -> str:
    """A small change or two of a query, which may no longer be one."""
    for _ in range(random_.choice([1, 1, 2])):
        pattern, texts = random_.choice([harm for harm in _HARMS if re.search(harm[0], sql)])
        place = random_.choice(list(re.finditer(pattern, sql)))
        # None: of the names that are there, another.
        text = random_.choice(texts or re.findall(r"\b[efglqrwx]\d+\b", sql))
        sql = sql[: place.start()] + place.expand(text) + sql[place.end() :]
    return sql
