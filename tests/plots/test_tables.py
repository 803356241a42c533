"""Tables as people read them: units off the names, the figures themselves in the CSV."""

import base64
import io
import re

import pandas as pd
import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.plots import tables

FRAME = pd.DataFrame(
    {
        "provider": ["gcp", "hyperstack"],
        "offer_id": ["gcp/us-central1//a2-ultragpu-8g/on_demand/", "<odd> & unknown"],
        "instances": [4.0, 1.0],
        "cost_usd": [16_249.25, float("nan")],
        "saved_pct": [3.93, 12.4],
        "probability_unmet": [0.096, 1.0],
        "seen_at": pd.to_datetime(["2026-04-02T20:33Z", None]),
        "pays": [True, False],
        "year": [2024, 2026],
    }
)


def texts(column):
    return tables.shown(FRAME).texts[column].tolist()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("provider", ["GCP", "hyperstack"]),
        ("offer", ["a2-ultragpu-8g in us-central1 on demand (GCP)", "<odd> & unknown"]),
        ("instances", ["4", "1"]),
        ("cost", ["$16,200", ""]),
        ("saved", ["3.9 %", "12 %"]),
        ("probability unmet", ["9.6 %", "100 %"]),
        ("seen at", ["2 Apr 2026", ""]),
        ("pays", ["yes", "no"]),
        ("year", ["2024", "2026"]),
    ],
)
def test_the_unit_of_a_column_is_read_off_its_name(column, expected):
    assert texts(column) == expected


def test_a_value_with_its_unit_beside_it_is_told_in_that_unit():
    frame = pd.DataFrame({"value": [0.0003, 20_000.0], "unit": ["1/h", "USD"]})
    told = tables.shown(frame)
    assert told.texts["value"].tolist() == ["0.0003 1/h", "$20,000"]
    assert list(told.texts) == ["value"], "the unit is not told twice"
    assert list(told.source) == ["value", "unit"], "the CSV needs it"


def test_an_amount_is_told_as_far_as_it_is_known():
    frame = pd.DataFrame(
        {
            "extra_usd": [2143.0, 114_507.0, float("nan")],
            "extra_is": ["at most", "solved", "no plan"],
        }
    )
    told = tables.shown(frame)
    assert told.texts["extra"].tolist() == ["at most $2,143", "$114,500", "no plan"]
    assert list(told.texts) == ["extra"]
    assert list(told.source) == ["extra_usd", "extra_is"], "the CSV needs both"


def test_the_figures_of_a_column_have_one_number_of_decimals():
    frame = pd.DataFrame({"gap_days": [49.4, 56.0, 44.61], "saved_pct": [5.0, 4.86, 12.4]})
    told = tables.shown(frame).texts
    assert told["gap days"].tolist() == ["49.4", "56.0", "44.6"]
    assert told["saved"].tolist() == ["5.0 %", "4.9 %", "12 %"]


def test_days_as_text_are_told_as_days_that_no_column_breaks():
    told = tables.shown(pd.DataFrame({"date": ["2026-11-23", "2026-04-02"]}))
    assert told.texts["date"].tolist() == ["23 Nov 2026", "2 Apr 2026"]
    assert ">23\xa0Nov\xa02026<" in told.html
    mixed = tables.shown(pd.DataFrame({"date": ["2026-11-23", "unknown"]}))
    assert mixed.texts["date"].tolist() == ["2026-11-23", "unknown"]


def test_pools_are_told_in_words_and_other_names_with_a_slash_are_left_alone():
    name = "capacity_gpus/spot/H100"
    told = tables.shown(pd.DataFrame({"pool": ["gcp/us-a/on_demand/H100"], "name": [name]}))
    assert told.texts["pool"].item() == "H100 on demand in us-a (GCP)"
    assert told.texts["name"].item() == name


def test_the_page_escapes_text_and_the_csv_has_every_digit():
    page = tables.shown(FRAME, {"offer_id": "what", "cost_usd": "cost"}, name="plan").html
    assert "&lt;odd&gt; &amp; unknown" in page
    assert "<odd>" not in page
    assert 'download="plan.csv"' in page
    encoded = re.search(r'href="data:text/csv;base64,([^"]+)"', page)[1]
    read = pd.read_csv(io.BytesIO(base64.b64decode(encoded)))
    pd.testing.assert_frame_equal(read, FRAME[["offer_id", "cost_usd"]])


def test_an_index_with_a_name_is_a_column_and_rows_of_many_can_be_set_below_each_other():
    by_name = FRAME.set_index("provider")
    assert tables.shown(by_name).texts.columns[0] == "provider"
    assert 'class="people many"' in tables.shown(by_name).html
    few = tables.shown(by_name, {"provider": "who", "instances": "machines"})
    assert 'class="people"' in few.html
    assert repr(few).split("\n")[0].split() == ["who", "machines"]


def test_two_columns_of_one_name_are_refused_and_no_rows_are_said():
    twice = pd.DataFrame({"cost": [1.0], "cost_usd": [2.0]})
    with pytest.raises(ParameterError, match="two columns of table 'table' are called 'cost'"):
        tables.shown(twice)
    assert "Nothing to show" in tables.shown(FRAME[:0]).html


def test_a_group_of_series_is_told_in_words_an_offer_by_itself_too():
    groups = ["gcp/spot/H100", "aws/us-east-1//p5.48xlarge/spot/", "H100"]
    shown = tables.shown(pd.DataFrame({"series_group": groups}), {"series_group": "GPU"})
    said = ["H100 spot (GCP)", "p5.48xlarge in us-east-1 spot (AWS)", "H100"]
    assert shown.texts["GPU"].tolist() == said
