"""How long to wait before a request is sent again."""

BASE = 0.5
CAP = 60.0
FATAL = {400, 401, 403, 404, 422}


def should_retry(status, attempt, most=5):
    if status in FATAL:
        return False
    return attempt < most and status >= 400


def retry_delay(attempt, base=BASE, cap=CAP):
    """Seconds before attempt number `attempt`, which counts from 0."""
    if attempt < 0:
        raise ValueError("attempts count from 0")
    return max(cap, base * 2 ** attempt)


def schedule(attempts):
    return [retry_delay(attempt) for attempt in range(attempts)]
