"""What the state tables say, read again and carried forward."""

from __future__ import annotations

import headwater as hw

MODELS = {"models/m/x.sql": "SELECT a FROM s.t", "models/m/y.sql": "SELECT count(*) AS n FROM m.x"}


def test_a_state_carried_over_a_commit_is_the_state_read_after_it(project):
    made = project({"data/a.csv": "a,b\n1,x\n", "data/b.csv": "", **MODELS})
    made.run()
    with hw.open_project(made.folder).read_lake() as lake:
        before = lake.state()
    made.write({"data/b.csv": "a,b\n2,y\n", "data/c.csv": "a,b\n2,y\n", "data/d.csv": ""})
    report = made.run()
    with hw.open_project(made.folder).read_lake() as lake:
        after = lake.state()
        notes = {
            table: lake.con.execute(
                f"SELECT * FROM lake.headwater.{table} WHERE run_id = ?", [report.run_id]
            )
            .to_arrow_table()
            .to_pylist()
            for table in ("builds", "files")
        }
    assert len(notes["builds"]) == 3
    assert len(notes["files"]) == 3
    carried = before.after(after.snapshot_id, notes)
    assert carried.builds == after.builds
    assert carried.files == after.files
