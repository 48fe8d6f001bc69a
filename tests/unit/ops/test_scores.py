from __future__ import annotations

import numpy as np

from furiosa_models.ops.scores import prefilter_logit


def test_threshold_of_at_most_0_passes_every_logit() -> None:
    np.testing.assert_array_equal(prefilter_logit([-1.0, -1e-9, 0.0]), [-np.inf] * 3)
    assert prefilter_logit(0.5) <= 0
