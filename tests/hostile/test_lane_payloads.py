"""Whatever is said on the lane's topics: no failure, no proof, and nothing that grows (F7, K3)."""

from random import Random

from orchestrator.app.lane_facts import _camera_to_close
from orchestrator.core import lane as lane_rules
from orchestrator.core.events import Json
from orchestrator.core.lane_values import MAX_PAYLOAD_BYTES, quoted
from tests.core.lane_story import ALIVE, BARRIER, BEAT, ENTRY, ERROR, LIFT, NO_VEHICLE, PRESENT, SECOND, Lane
from tests.hostile.payloads import SEED, command, payload

MANY = 1_500
MAX_DETAIL_CHARACTERS = 400


def _garbage() -> list[bytes]:
    random = Random(SEED)
    # As the lane's session hands it over: a byte more than can be read is enough to know that.
    return [payload(random)[: MAX_PAYLOAD_BYTES + 1] for _ in range(MANY)]


def _is_evidence(evidence: Json) -> bool:
    own = (
        {rule.topic for rule in ENTRY.rules}
        | {rule.equals for rule in ENTRY.rules}
        | set(
            ENTRY.rules[4].also,
        )
    )
    return all(isinstance(value, bool | int) or value in own for value in evidence.values())


def test_garbage_on_a_living_lane_takes_proof_away_and_never_gives_any() -> None:
    lane, random = Lane(), Random(SEED)
    for said in _garbage():
        lane.now = lane.now.__class__(
            lane.now.wall_us + SECOND // 5,
            lane.now.boottime_us + SECOND // 5,
            True,
        )
        topic = random.choice([PRESENT, BEAT, ERROR, BARRIER, LIFT, "parking/plain", "parking/steady"])
        lane.says(topic, said, retained=random.random() < 0.3)
        for rule in random.sample(ENTRY.rules, 2):
            verdict = lane_rules.judge(rule, ENTRY, lane.memory, lane.now)
            assert not (verdict.holds and rule in (ALIVE, NO_VEHICLE)), said[:80]
            assert len(verdict.detail) <= MAX_DETAIL_CHARACTERS
            assert verdict.detail.isprintable(), said[:80]
            assert _is_evidence(verdict.evidence), (rule.id, verdict.evidence)


def test_nothing_of_it_is_a_close_command_and_asking_costs_nothing() -> None:
    random = Random(SEED)
    closed = [
        said
        for said in (command(random) for _ in range(MANY))
        if _camera_to_close(said)
        in (
            "*",
            "cam1",
            "cam2",
        )
    ]
    assert closed == []


def test_a_quotation_of_garbage_is_one_short_printable_text() -> None:
    for said in _garbage():
        assert quoted(said).isprintable()
        assert len(quoted(said)) <= 82
