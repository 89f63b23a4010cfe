"""The tests. They mirror `iscsiproxy/`; `real/` holds the harness for real initiators, targets and readers."""
