import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.config.schema import Dataloader
from autoq.core.batch import TensorSpec
from autoq.core.errors import ConfigError, DataError, MissingDependencyError
from autoq.data.sources import open_dataloader

ROWS = [{"ids": [i, i + 1], "x": i / 2, "label": i % 2, "text": f"t{i}"} for i in range(7)]


def source(folder, kind, specs=None, batch_size=3, **table):
    spec = Dataloader.model_validate({"dataset": {kind: {"path": f"t.{kind}", **table}}, "batch_size": batch_size})
    return open_dataloader(spec, folder, specs)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "t.jsonl").write_text("\n\n".join(json.dumps(row) for row in ROWS) + "\n")
    lines = ["ids,x,label,text", *(f'"[{i}, {i + 1}]",{i / 2},{i % 2},t{i}' for i in range(7))]
    (tmp_path / "t.csv").write_text("\r\n".join(lines), newline="")
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "t.parquet", row_group_size=2)
    return tmp_path


KINDS = pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])


@KINDS
def test_columns_feed_inputs_by_name(folder, kind):
    batches = list(source(folder, kind, inputs={"input_ids": "ids"}, labels="label").batches())
    assert [b.samples for b in batches] == [3, 3, 1]
    assert batches[1].inputs["input_ids"].tolist() == [[3, 4], [4, 5], [5, 6]]
    assert np.concatenate([b.labels for b in batches]).tolist() == [0, 1, 0, 1, 0, 1, 0]


@KINDS
def test_columns_in_input_order(folder, kind):
    batch = next(source(folder, kind, inputs=["x", "ids"]).batches())
    assert batch.inputs[0].tolist() == [0.0, 0.5, 1.0]
    assert batch.inputs[1].shape == (3, 2)
    assert batch.labels is None


@KINDS
def test_text_labels(folder, kind):
    assert next(source(folder, kind, inputs=["x"], labels="text").batches()).labels == ["t0", "t1", "t2"]


@KINDS
def test_dtype_comes_from_the_job_or_from_the_model(folder, kind):
    assert next(source(folder, kind, inputs=["ids"], dtype="float32").batches()).inputs.dtype == np.float32
    specs = [TensorSpec("a", "int32", (None, 2)), TensorSpec("b", "float32", ("batch", 1))]
    batch = next(source(folder, kind, specs, inputs=["ids", "x"]).batches())
    assert (batch.inputs["a"].dtype, batch.inputs["b"].dtype) == (np.int32, np.float32)
    assert batch.inputs["b"].shape == (3, 1)


@KINDS
def test_an_absent_column_is_named_with_the_nearest(folder, kind):
    with pytest.raises(DataError, match=r"no column 'lable'[\s\S]*'label'"):
        list(source(folder, kind, inputs=["x"], labels="lable").batches())


@KINDS
def test_an_absent_file(tmp_path, kind):
    with pytest.raises(DataError, match="no such file"):
        source(tmp_path, kind, inputs=["x"])


@KINDS
def test_fingerprint_follows_the_columns(folder, kind):
    assert source(folder, kind, inputs=["x"]).fingerprint != source(folder, kind, inputs=["ids"]).fingerprint


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("jsonl", '{"x": 1}\n{"x": ', "t.jsonl:2: the line is no JSON"),
        ("jsonl", "[1, 2]", "t.jsonl:1: a line is a JSON object"),
        ("jsonl", '{"x": 1}\n\n{"y": 1}', "t.jsonl:3: there is no column 'x'"),
        ("jsonl", '{"x": [1, 2]}\n{"x": [1]}', "t.jsonl:2: column 'x' has shape [1]"),
        ("jsonl", '{"x": [[1], [1, 2]]}', "lists of different lengths"),
        ("jsonl", '{"x": null}', "column 'x' is empty"),
        ("jsonl", '{"x": "word"}', "t.jsonl:1: column 'x' holds 'word'"),
        ("jsonl", '{"x": {"a": 1}}', "inputs are numbers"),
        ("jsonl", "\n\n", "no samples"),
        ("jsonl", "\x00\x81", "t.jsonl:1"),
        ("csv", "", "the file is empty"),
        ("csv", "x,y\n", "no samples"),
        ("csv", "x,y\n1,2\n3\n", "t.csv:3: the row has 1 values"),
        ("csv", "x,y\n1,2\n,3\n", "t.csv:3: column 'x' holds ''"),
        ("csv", 'x,y\n1,"2\n', "t.csv:2: the row cannot be read"),
        ("csv", "x,y\nnan,2\n", "input 'x' holds nan in sample 0"),
        ("parquet", "no parquet", "cannot be read"),
    ],
)
def test_bad_tables_name_the_line(tmp_path, kind, text, message):
    (tmp_path / f"t.{kind}").write_text(text)
    specs = [TensorSpec("x", "float32", None)]
    with pytest.raises(DataError) as caught:
        list(source(tmp_path, kind, specs, inputs=["x"]).batches())
    assert message in str(caught.value)


def test_fractions_are_not_cut_to_integers(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"x": 1.0}\n{"x": 1.5}')
    with pytest.raises(DataError, match=r"t.jsonl:2: column 'x' holds 1.5, which is no int64"):
        list(source(tmp_path, "jsonl", inputs=["x"], dtype="int64").batches())


def test_an_unknown_dtype_is_a_mistake_of_the_job(folder):
    with pytest.raises(ConfigError, match="no NumPy dtype"):
        source(folder, "csv", inputs=["x"], dtype="float31")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8), min_size=1, max_size=8))
def test_csv_text_round_trips(tmp_path_factory, texts):
    import csv

    folder = tmp_path_factory.mktemp("csv")
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["x", "text"])
        writer.writerows([1, "#" + text] for text in texts)
    (batch,) = source(folder, "csv", inputs=["x"], labels="text", batch_size=8).batches()
    assert batch.labels == ["#" + text for text in texts]


def test_missing_pyarrow_names_the_install_command(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'autoq\[parquet\]'"):
        source(folder, "parquet", inputs=["x"])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["3", "10"], [3, 10]),
        (["1", "2.5"], [1.0, 2.5]),
        (["007", "12"], ["007", "12"]),
        (["12", "word"], ["12", "word"]),
        (["1", "nan"], ["1", "nan"]),
        (["1_0", "20"], ["1_0", "20"]),
        (['"[1, 2]"', '"[3, 4]"'], [[1, 2], [3, 4]]),
    ],
)
def test_labels_of_a_csv_file_are_numbers_only_where_all_cells_are(tmp_path, cells, expected):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"1,{cell}\n" for cell in cells))
    (batch,) = source(tmp_path, "csv", inputs=["x"], labels="y").batches()
    assert np.asarray(batch.labels).tolist() == expected


def test_one_cell_decides_for_every_batch_of_a_csv_file(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,10\n1,20\n1,word\n")
    batches = source(tmp_path, "csv", inputs=["x"], labels="y", batch_size=1).batches()
    assert [batch.labels for batch in batches] == [["10"], ["20"], ["word"]]


def test_rows_of_a_parquet_file_may_be_read_by_several_threads(folder):
    from concurrent.futures import ThreadPoolExecutor

    table = source(folder, "parquet", inputs=["x"], batch_size=1)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: float(next(table.batches(i % 7)).inputs[0]), range(280)))
    assert found == [(i % 7) / 2 for i in range(280)]
