"""Keys and groups, each written once; groups are numbered so that the UI sorts them."""

import dagster as dg

EVENTS = "1_events"
FEATURES = "2_features"
ONLINE = "3_online"
TRAINING = "4_training"
MODELS = "5_models"
SCORES = "6_scores"
PREDICTIONS = "7_predictions"
WATCHING = "8_watching"
RETENTION = "9_retention"


def events(source: str) -> dg.AssetKey:
    """Accepted rows of a source."""
    return dg.AssetKey(["events", source])


def replayed(source: str) -> dg.AssetKey:
    """Refused records of a source that were landed again."""
    return dg.AssetKey(["events", f"{source}_replayed"])


def tiles(view: str) -> dg.AssetKey:
    """Partial aggregates of a view."""
    return dg.AssetKey(["features", f"{view}_tiles"])


def online(view: str) -> dg.AssetKey:
    """Base values of a view in the online store."""
    return dg.AssetKey(["online", view])


def training(use_case: str) -> dg.AssetKey:
    """Training set of a use case."""
    return dg.AssetKey(["training", use_case])


def candidate(use_case: str) -> dg.AssetKey:
    """Fitted candidates of a use case and the one picked among them."""
    return dg.AssetKey(["models", f"{use_case}_candidate"])


def evaluation(use_case: str) -> dg.AssetKey:
    """Picked candidate beside the champion, and by declared groups."""
    return dg.AssetKey(["models", f"{use_case}_evaluation"])


def bundle(use_case: str) -> dg.AssetKey:
    """Picked candidate with all it needs to run."""
    return dg.AssetKey(["models", f"{use_case}_bundle"])


def release(use_case: str) -> dg.AssetKey:
    """Bundle that the declared rule let through, signed, on the shelf."""
    return dg.AssetKey(["models", f"{use_case}_release"])


def scores(use_case: str) -> dg.AssetKey:
    """Batch scores of a use case."""
    return dg.AssetKey(["scores", use_case])


def predictions(use_case: str) -> dg.AssetKey:
    """Records of what a use case's service decided."""
    return dg.AssetKey(["predictions", use_case])


def outcomes(use_case: str) -> dg.AssetKey:
    """Labels of a use case's rollout, joined to its answers."""
    return dg.AssetKey(["predictions", f"{use_case}_outcomes"])


def drift(use_case: str) -> dg.AssetKey:
    """What moved, day against day and against training, and why."""
    return dg.AssetKey(["monitoring", f"{use_case}_drift"])


def performance(use_case: str) -> dg.AssetKey:
    """How decisions fare against the labels that came."""
    return dg.AssetKey(["monitoring", f"{use_case}_performance"])


def calibration(use_case: str) -> dg.AssetKey:
    """Whether scores are the chances that they say."""
    return dg.AssetKey(["monitoring", f"{use_case}_calibration"])


def freshness(use_case: str) -> dg.AssetKey:
    """How old the newest row of every table of a use case is."""
    return dg.AssetKey(["monitoring", f"{use_case}_freshness"])


def stream(use_case: str) -> dg.AssetKey:
    """Scores and errors one by one, watched by online detectors."""
    return dg.AssetKey(["monitoring", f"{use_case}_stream"])


def synthetic(use_case: str) -> dg.AssetKey:
    """Requests that we ask ourselves, through the real path."""
    return dg.AssetKey(["monitoring", f"{use_case}_synthetic"])


def retention() -> dg.AssetKey:
    """The sweep of everything whose period is over."""
    return dg.AssetKey(["retention", "sweep"])


def archive() -> dg.AssetKey:
    """Releases that may serve no more."""
    return dg.AssetKey(["retention", "archive"])


def check_name(spec: dg.AssetCheckKey) -> str:
    """A check as people write it: asset and check."""
    return f"{spec.asset_key.to_user_string()}:{spec.name}"
