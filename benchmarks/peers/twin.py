"""The good hand-written twin: what an experienced team writes for this one model, well.

FastAPI and pydantic, redis.asyncio with hiredis, two HGETALL of ready features in one pipeline,
ONNX Runtime with one thread on the loop. Features are computed beforehand by somebody else; the
two request-time functions are plain arithmetic. Nothing is recorded, explained or verified, and
no definition is shared with training.

``python -m benchmarks.peers.twin PORT FOLDER REDIS_URL``; FOLDER holds ``model.onnx`` and
``twin.json`` (the order of the vector).
"""

from __future__ import annotations

import json
import math
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis

from benchmarks.peers.uvicorn_workers import serve

FOLDER, STORE = "TWIN_FOLDER", "TWIN_REDIS_URL"
BLOCK, REVIEW = 0.9, 0.5
DAY_MS = 86_400_000
Key = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]


class Entities(BaseModel):
    """Who pays, and where."""

    model_config = ConfigDict(extra="forbid")
    card_id: Key
    terminal_id: Key


class Inputs(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")
    amount_minor: int = Field(ge=0, le=10_000_000)


class Payment(BaseModel):
    """A request."""

    model_config = ConfigDict(extra="forbid")
    entities: Entities
    inputs: Inputs
    at: datetime | None = None


class Answer(BaseModel):
    """A score and what follows from it."""

    score: float
    decision: str


def request_time(at: datetime, amount: int, held: dict[bytes, float]) -> dict[bytes, float]:
    """The features of this payment, from what is held of the card."""
    habit = held.get(b"card_activity_v1:amount_minor_mean_30d", math.nan)
    limit = held.get(b"card_profile_v1:limit_minor", math.nan)
    day = at.timestamp() * 1_000 // DAY_MS
    return {
        b"payment_v1:amount": amount,
        b"payment_v1:is_weekend": float(at.weekday() >= 5),
        b"payment_v1:is_night": float(at.hour < 6),
        b"payment_v1:amount_over_mean": amount / habit if habit > 0 else math.nan,
        b"standing_v1:card_age_days": day - held.get(b"card_profile_v1:since_day", math.nan),
        b"standing_v1:amount_over_limit": amount / limit if limit > 0 else math.nan,
    }


def decision_of(score: float) -> str:
    """What to do at this score."""
    if score > BLOCK:
        return "BLOCK"
    return "REVIEW" if score > REVIEW else "APPROVE"


def build() -> FastAPI:
    """Application of one worker."""
    folder = Path(os.environ[FOLDER])
    names = [name.encode() for name in json.loads((folder / "twin.json").read_text())]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    redis: Any = Redis.from_url(os.environ[STORE])
    app = FastAPI()

    @app.post("/predictions")
    async def predict(payment: Payment) -> Answer:
        pipeline = redis.pipeline(transaction=False)
        pipeline.hgetall(f"twin/card/{payment.entities.card_id}")
        pipeline.hgetall(f"twin/terminal/{payment.entities.terminal_id}")
        card, terminal = await pipeline.execute()
        held = {name: float(value) for name, value in (card | terminal).items()}
        at = payment.at or datetime.now(UTC)
        held |= request_time(at, payment.inputs.amount_minor, held)
        vector = np.array([[held.get(name, math.nan) for name in names]], np.float32)
        score = float(session.run(None, {"vector": vector})[0][0, 0])
        return Answer(score=score, decision=decision_of(score))

    return app


if __name__ == "__main__":
    os.environ |= {FOLDER: sys.argv[2], STORE: sys.argv[3]}
    serve("benchmarks.peers.twin:build", int(sys.argv[1]), is_factory=True)
