"""A small store and a run, for tests of the server and its benchmark."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cloudarb_lib.store import ingest_files
from cloudarb_lib.tables.run_tables import save_table
from pipelines.run.files import write_json
from pipelines.serve.records import Folders
from pipelines.serve.tokens import Tokens, tokens_file

AS_OF = "2026-04-30"
RUN = "toy-2026-04-30"
_MACHINES = """provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib
aws,p5.48xlarge,192,2048,H100,8,80
aws,g6.xlarge,4,16,L4,1,24
gcp,a3-highgpu-8g,208,1872,H100,8,80
gcp,g2-standard-4,4,16,L4,1,24
gcp,g2-standard-8,8,32,L4,1,24
"""
_SOLD = """provider,region,zone,instance_type,purchase_option,kind,source,seen_at,sold,note
aws,us-east-1,,p5.48xlarge,,offering,test,2026-04-01T00:00:00Z,true,
aws,us-east-1,,g6.xlarge,,offering,test,2026-04-01T00:00:00Z,true,
gcp,us-east4,us-east4-a,a3-highgpu-8g,,zone_list,test,2026-04-01T00:00:00Z,true,
gcp,us-east4,us-east4-c,a3-highgpu-8g,,zone_list,test,2026-04-01T00:00:00Z,true,
gcp,us-east4,,g2-standard-4,,zone_list,test,2026-04-01T00:00:00Z,true,
gcp,us-east4,,g2-standard-8,,zone_list,test,2026-04-01T00:00:00Z,true,
"""
_PRICES = """provider,region,instance_type,purchase_option,effective_at,price_usd_per_hour
aws,us-east-1,p5.48xlarge,on_demand,2025-12-01T00:00:00Z,55.04
aws,us-east-1,p5.48xlarge,spot,2025-12-01T00:00:00Z,25.0
gcp,us-east4,a3-highgpu-8g,on_demand,2025-12-01T00:00:00Z,88.0
gcp,us-east4,a3-highgpu-8g,spot,2025-12-01T00:00:00Z,20.0
aws,us-east-1,p5.48xlarge,on_demand,2026-04-20T00:00:00Z,55.04
aws,us-east-1,p5.48xlarge,spot,2026-04-28T00:00:00Z,27.5
aws,us-east-1,g6.xlarge,on_demand,2026-04-20T00:00:00Z,0.8
gcp,us-east4,a3-highgpu-8g,on_demand,2026-04-20T00:00:00Z,88.0
gcp,us-east4,a3-highgpu-8g,spot,2026-04-20T00:00:00Z,20.0
gcp,us-east4,a3-highgpu-8g,spot,2026-04-28T00:00:00Z,24.0
gcp,us-east4,g2-standard-4,on_demand,2026-04-20T00:00:00Z,0.7
gcp,us-east4,g2-standard-4,spot,2026-04-20T00:00:00Z,0.28
gcp,us-east4,g2-standard-8,on_demand,2026-04-20T00:00:00Z,0.85
"""
_INGESTED_AT = pd.Timestamp("2026-05-01", tz="UTC")
_ORIGIN = pd.Timestamp("2026-05-01", tz="UTC")
SPOT = "gcp/us-east4//a3-highgpu-8g/spot/"
_PLAN = {
    "offer_id": SPOT,
    "workload": "train",
    "period": 0,
    "instances": 2.0,
    "hours": 336.0,
    "expected_cost_usd": 16_500.0,
    "fees_usd": 12.0,
    "observed_at": _ORIGIN,
    "provider": "gcp",
    "region": "us-east4",
    "gpu_model": "H100",
    "purchase_option": "spot",
    "gpus": 16.0,
    "scenario": "",
}
_RISK = {
    "measure": "var",
    "level": 0.95,
    "horizon_h": 336.0,
    "value_usd": 900.0,
    "standard_error_usd": 12.0,
    "scope": "total",
}
_ALARM = {
    "time_utc": _ORIGIN,
    "series_group": "gcp/spot/H100",
    "detector": "ks",
    "statistic": 0.6,
    "threshold": 0.5,
    "action": "look",
}
_FACT = {"fact": "expected cost", "value": 16_500.0, "unit": "USD", "text": ""}
_BINDING = {
    "limit": "demand of train",
    "used": 16.0,
    "available": 16.0,
    "worth_usd": -1.0,
    "unit": "GPU",
}
_STRESS = {
    "scenario": "base",
    "expected_cost_usd": 16_500.0,
    "loss_usd": 0.0,
    "recourse_loss_usd": 0.0,
    "level": 0.95,
    "var_usd": 900.0,
    "cvar_usd": 1000.0,
    "probability_over_budget": 0.0,
    "unmet_gpu_hours": 0.0,
    "recourse_unmet_gpu_hours": 0.0,
}
_LOOKBACK = {"policy": "advice", "period_utc": _ORIGIN, "cost_usd": 9.0, "moves": 0.0}


def write_store(folder: Path) -> Path:
    """Make a store of a few prices of five machines, and return its folder."""
    brought = folder / "brought"
    brought.mkdir(parents=True)
    files = {"machines.csv": _MACHINES, "sold.csv": _SOLD, "prices.csv": _PRICES}
    for name, text in files.items():
        (brought / name).write_text(text)
    paths = [brought / name for name in files]
    ingest_files(paths, store_dir=folder / "store", now=_INGESTED_AT)
    return folder / "store"


def add_price(folder: Path, region: str, price_usd_per_hour: float) -> str:
    """Take one more price of gcp's machine of eight H100 in; return the new snapshot's digest."""
    header = _PRICES.splitlines()[0]
    row = f"gcp,{region},a3-highgpu-8g,spot,2026-04-29T00:00:00Z,{price_usd_per_hour}"
    path = folder / "brought" / "more.csv"
    path.write_text(f"{header}\n{row}\n")
    report = ingest_files([path], store_dir=folder / "store", now=_INGESTED_AT)
    return str(report.digest)


def write_run(
    reports: Path, name: str = RUN, finished_at: str = "2026-05-01T06:00:00+00:00"
) -> Path:
    """Make a run with small tables, and return its folder."""
    folder = reports / name
    for table, frame in _tables().items():
        save_table(frame, table, folder)
    manifest = {
        "run_id": name,
        "title": "Toy",
        "status": "succeeded",
        "snapshot": "0123456789abcdef",
        "as_of": AS_OF,
        "started_at": "2026-05-01T05:50:00+00:00",
        "finished_at": finished_at,
    }
    write_json(folder / "manifest.json", manifest)
    write_alert(folder, "price of H100 up by 12 %")
    return folder


def write_alert(run: Path, text: str) -> None:
    """Write that one rule fires on a run."""
    alert = {
        "rule": "price",
        "subject": "H100",
        "text": text,
        "since": "2026-05-01T06:00:00+00:00",
        "run_id": run.name,
        "told": [],
    }
    looked = {"looked_at": "2026-05-01T07:00:00+00:00", "alerts": [alert], "cleared": []}
    write_json(run / "alerts.json", looked)


def folders_in(folder: Path) -> Folders:
    """Make a store and a run in a folder, and return where they lie."""
    store = write_store(folder)
    write_run(folder / "reports")
    return Folders(store, folder / "reports", folder / "serve")


def token_in(folders: Folders, name: str = "reader", *scopes: str) -> str:
    """Make a token, and return it; it allows to read, where no scope is named."""
    tokens = Tokens(tokens_file(folders.state))
    return tokens.add(name, scopes or ("read",), "2026-05-01T00:00:00+00:00")


def _tables() -> dict[str, pd.DataFrame]:
    """Return the tables of a run that rents two machines."""
    rows = {
        "plan": _PLAN,
        "risk": _RISK,
        "alarms": _ALARM,
        "plan_summary": _FACT,
        "plan_binding": _BINDING,
        "stress": _STRESS,
        "lookback": _LOOKBACK,
    }
    single = {name: pd.DataFrame([row]) for name, row in rows.items()}
    return {"forecast": _forecast(), "offers": _offers(), **single}


def _forecast() -> pd.DataFrame:
    """Return table ``forecast`` of one offer, two weeks ahead."""
    return pd.DataFrame(
        [
            {
                "offer_id": SPOT,
                "origin_utc": _ORIGIN,
                "target_utc": _ORIGIN + pd.Timedelta(days=7 * weeks),
                "quantile": quantile,
                "price_usd_per_hour": 24.0 + quantile,
            }
            for weeks in (1, 2)
            for quantile in (0.1, 0.5, 0.9)
        ]
    )


def _offers() -> pd.DataFrame:
    """Return table ``offers`` with the machine of the plan, on demand and spot."""
    row = {
        "provider": "gcp",
        "region": "us-east4",
        "zone": "",
        "instance_type": "a3-highgpu-8g",
        "term": "",
        "price_kind": "administered",
        "gpu_model": "H100",
        "gpu_count": 8.0,
        "gpu_memory_gib": 80.0,
        "vcpus": 208.0,
        "memory_gib": 1872.0,
        "offer_count": None,
        "changed_at": _ORIGIN,
        "observed_at": _ORIGIN,
        "evidence": "zone_list",
        "evidence_at": _ORIGIN,
    }
    prices = {"on_demand": 88.0, "spot": 24.0}
    rows = [
        row
        | {
            "offer_id": f"gcp/us-east4//a3-highgpu-8g/{option}/",
            "purchase_option": option,
            "price_usd_per_hour": usd,
            "price_usd_per_gpu_hour": usd / 8,
        }
        for option, usd in prices.items()
    ]
    return pd.DataFrame(rows).astype({"offer_count": float})
