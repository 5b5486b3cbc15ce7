import numpy as np
import pytest
import scipy.signal

from asrlib.features.window import WINDOWS, window


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("size", [320, 401])
@pytest.mark.parametrize("name", WINDOWS)
def test_equals_scipys(name, size, symmetric):
    expected = scipy.signal.get_window(name, size, fftbins=not symmetric)
    np.testing.assert_allclose(window(name, size, symmetric), expected, atol=1e-7)
