"""The price store: immutable snapshots, the one writer, and what makes a row good."""

from cloudarb_lib.store.ingest import open_snapshot
from cloudarb_lib.store.snapshot import Snapshot
