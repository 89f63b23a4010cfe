"""Real peers under control: a private tgtd, libiscsi's and QEMU's initiators, and tshark as the reader of captures."""
