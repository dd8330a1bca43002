"""Shared by the tests of usage: moments, payloads, a registry that is put back."""

from datetime import datetime

import pytest

from heliograph.usage import config

NOON = datetime(2025, 1, 15, 12, 0)  # noqa: DTZ001 - naive, as documents hold it


@pytest.fixture
def registry():
    """The registry of attributes, for a test to change."""
    kept = list(config.METRIC_ATTRIBUTES)
    yield config.METRIC_ATTRIBUTES
    config.METRIC_ATTRIBUTES[:] = kept


@pytest.fixture
def noon():
    """15 January 2025, 12:00, naive."""
    return NOON


@pytest.fixture
def payload():
    """One payload, as clients send it."""
    return {
        "version": "5.3.0",
        "action": "train",
        "network": "ResNet-50",
        "success": True,
        "time_lapsed": 60,
        "gpu": ["NVIDIA A100", "NVIDIA A100"],
    }
