"""Allocation: workloads onto offers by mixed-integer programming."""
