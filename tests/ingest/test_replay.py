"""Quarantine as a tool: fix, replay, discard, export."""

from __future__ import annotations

import csv

import pytest

from headwater.errors import HeadwaterError

SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
{more}    columns:
      id:   {{type: integer, required: true}}
      fare: {{from: fare_amount, type: "decimal(10,2)", min: 0}}
      kind: {{type: varchar, accepted: [a, b]}}
"""
ONE = "id,fare_amount,kind\n1,5,a\n2,-3,a\n3,x,b\n4,-1,z\n5,7\n"
MODEL = {"models/m/sums.sql": "SELECT count(*) AS n, sum(fare) AS total FROM s.t"}


@pytest.fixture
def made(project):
    source = {"sources/s.yaml": SOURCE.format(more="")}
    made = project({"data/one.csv": ONE, **source, **MODEL})
    made.run()
    return made


def rows(made):
    return made.ask("SELECT id, fare, kind, _file_id, _record FROM s.t ORDER BY _file_id, _record")


def waiting(made):
    return made.ask(
        "SELECT id FROM headwater.quarantine WHERE id NOT IN "
        "(SELECT id FROM headwater.quarantine_outcomes) ORDER BY id"
    )


def opened(made):
    import headwater as hw

    return hw.open_project(made.folder)


def test_a_fix_lands_the_rows_of_one_reason_at_their_place_and_what_reads_them_follows(made):
    assert waiting(made) == [("s.t/1/2",), ("s.t/1/3",), ("s.t/1/4",), ("s.t/1/5",)]
    code, _, err = made.cli(
        "quarantine", "fix", "s.t", "--reason", "fare.min", "--set", "fare=abs(fare::DOUBLE)"
    )
    assert code == 0, err
    assert "2 received, 1 landed, 1 quarantined" in err
    assert "kind.accepted 1" in err
    assert [(row[0], str(row[1]), *row[3:]) for row in rows(made)] == [
        (1, "5.00", 1, 1),
        (2, "3.00", 1, 2),
    ]
    assert made.ask("SELECT n FROM m.sums") == [(2,)]
    assert waiting(made) == [("s.t/1/3",), ("s.t/1/4",), ("s.t/1/5",)]
    assert made.balances()


def test_the_same_replay_again_replays_nothing(made):
    words = ("quarantine", "fix", "s.t", "--set", "fare=abs(try_cast(fare AS DOUBLE))")
    made.cli(*words)
    before = rows(made)
    made.cli(*words)
    assert rows(made) == before
    assert made.balances()


def test_a_replay_after_the_contract_was_widened_takes_the_new_table(made):
    text = SOURCE.format(more="").replace("min: 0", "min: -2")
    made.write({"sources/s.yaml": text})
    code, _, err = made.cli("quarantine", "replay", "s.t")
    assert code == 1
    assert "not landed under the contract that it has now" in err


def test_an_edited_export_lands_also_what_could_not_be_read(made):
    file = made.folder / "mend.csv"
    code, out, _ = made.cli("quarantine", "export", "s.t", "-o", str(file))
    assert code == 0
    assert "4 rows" in out
    with file.open(newline="") as lines:
        found = list(csv.DictReader(lines))
    assert found[3]["_content"] == "5,7"
    assert found[3]["fare_amount"] == ""
    found[3].update(id="5", fare_amount="7.25", kind="b")
    with file.open("w", newline="") as target:
        writer = csv.DictWriter(target, list(found[0]))
        writer.writeheader()
        writer.writerow(found[3])
    code, _, err = made.cli("quarantine", "fix", "s.t", "--from", str(file))
    assert code == 0, err
    assert [(row[0], str(row[1]), *row[2:]) for row in rows(made)][1] == (5, "7.25", "b", 1, 5)
    file.write_text("_id,fare_amount\nnobody/1/1,3\n")
    code, _, err = made.cli("quarantine", "fix", "s.t", "--from", str(file))
    assert code == 1
    assert "1 row of the edited file: the id" in err


def test_discarded_rows_are_listed_no_more_and_stay_on_record(made):
    code, out, _ = made.cli("quarantine", "discard", "s.t", "--reason", "fare.type")
    assert (code, out.strip()) == (0, "discarded 1 row")
    assert ("s.t/1/3",) not in waiting(made)
    assert made.ask("SELECT count(*) FROM headwater.quarantine") == [(4,)]
    _, out, _ = made.cli("quarantine", "list", "s.t")
    assert "fare.type" not in out
    _, out, _ = made.cli("quarantine", "counts")
    assert "fare.type" in out


def test_what_is_no_fix_says_so(made):
    for words, said in [
        (["--set", "fare"], "FIELD=EXPRESSION"),
        (["--set", "fares=1"], "did you mean 'fare"),
        (["--set", "fare=nothing + 1"], "cannot be computed"),
        (["--set", "fare=1 +"], "--set fare"),
        ([], "say how to mend"),
    ]:
        code, _, err = made.cli("quarantine", "fix", "s.t", *words)
        assert code == 1, words
        assert said in err, err
    assert len(waiting(made)) == 4


def test_only_a_source_is_replayed(made):
    with pytest.raises(HeadwaterError, match="computed by a model"):
        opened(made).replay("m.sums")


def test_a_replayed_row_of_an_upsert_does_not_undo_a_later_one(project):
    source = SOURCE.format(more="    write: upsert\n    key: id\n")
    made = project(
        {"data/one.csv": "id,fare_amount,kind\n1,-5,a\n2,-6,a\n", "sources/s.yaml": source}
    )
    made.run()
    made.write({"data/two.csv": "id,fare_amount,kind\n1,9,b\n"})
    made.run()
    report = opened(made).replay("s.t", sets={"fare": "abs(fare::DOUBLE)"})
    assert report.exit_code == 0
    assert made.ask("SELECT id, CAST(fare AS VARCHAR), kind FROM s.t ORDER BY id") == [
        (1, "9.00", "b"),
        (2, "6.00", "a"),
    ]
    (line,) = made.ask(
        "SELECT received, landed, deduplicated FROM headwater.ledger l "
        "JOIN headwater.steps s USING (run_id, step) WHERE action = 'replay'"
    )
    assert line == (2, 1, 1)
    assert waiting(made) == []


def test_a_changed_file_withdraws_its_quarantined_and_replayed_rows(made):
    opened(made).replay("s.t", reason="fare.min", sets={"fare": "abs(fare::DOUBLE)"})
    made.write({"data/one.csv": "id,fare_amount,kind\n1,5,a\n9,-9,a\n"})
    made.run()
    assert [row[0] for row in rows(made)] == [1]
    assert waiting(made) == [("s.t/1.2/2",)]
    assert made.balances()
