"""Outcomes move an arm that rolls out, and the log says so."""

import structlog

from gateway.engine.rollouts import rolled
from gateway.routing.book import StatsBook
from gateway.routing.lane import Candidate, Lane
from gateway.routing.policy import Arm
from gateway.routing.rollout import Rollout
from tests.routing.samples import deployment, fault, outcome, route

OLD, NEW = deployment("old"), deployment("new", "llama-4-maverick-17b-128e-instruct")
PLAN = Rollout(steps=(0.05, 0.5), every=10.0, requests=3, errors=0.2, slowdown=2.0)
ARM = Arm("next", 0.05, Lane([Candidate(NEW, 0), Candidate(OLD, 1)]), PLAN)
RULES = route(OLD, arms=(ARM,))


def test_arm_that_does_well_takes_its_next_step_and_the_log_says_so() -> None:
    book = StatsBook()
    with structlog.testing.capture_logs() as logs:
        for second in range(20):
            rolled(RULES, "next", book, outcome(NEW, float(second)))
    assert book.share("chat", "next", PLAN) == 0.5
    assert [(line["event"], line["share"]) for line in logs] == [("rollout.moved", 0.5)]


def test_arm_that_fails_gets_nothing_more_and_the_log_says_why() -> None:
    book = StatsBook()
    with structlog.testing.capture_logs() as logs:
        for second in range(5):
            rolled(RULES, "next", book, fault(NEW, float(second)))
    assert book.share("chat", "next", PLAN) == 0.0
    assert [line["event"] for line in logs] == ["rollout.stopped"]
    assert logs[0]["because"] == "3 of 3 attempts failed"


def test_what_the_old_deployment_did_for_the_arm_counts_for_neither() -> None:
    book = StatsBook()
    for second in range(50):
        rolled(RULES, "next", book, fault(OLD, float(second)))
    assert book.share("chat", "next", PLAN) == 0.05
    assert not book.rollouts
