"""The farm on loopback: an emulator of AWS whose Batch starts the worker as processes."""
