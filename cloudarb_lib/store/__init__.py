"""The price store: immutable snapshots, the one writer, and what makes a row good."""

from cloudarb_lib.store.batch import Batch, scope_of
from cloudarb_lib.store.bundle import BUNDLED_AT, BUNDLED_FILES
from cloudarb_lib.store.conversions import conversion_of
from cloudarb_lib.store.entry import ingest_files, open_snapshot
from cloudarb_lib.store.explain import explain
from cloudarb_lib.store.held import decide, held, held_entry
from cloudarb_lib.store.rates import Rate, load_rates
from cloudarb_lib.store.report import IngestReport
from cloudarb_lib.store.snapshot import Snapshot, connect
