"""Watch how old predictions are when they arrive, from the frame's ingestion on, and how many were lost on the way."""

import time
from statistics import median

from actionstream import listen

EVERY = 30  # predictions
predictions, lags_ms = listen("prediction"), []
for prediction in predictions:
    lags_ms.append((time.time_ns() - prediction.ingested_ns) / 1e6)
    if len(lags_ms) == EVERY:
        print(
            f"median {median(lags_ms):.0f} ms, longest {max(lags_ms):.0f} ms, lost {predictions.missed['prediction']}"
        )
        lags_ms.clear()
