"""The page of a training: readable in every look, current by the socket, its texts step by step."""

import pytest
from playwright.sync_api import expect

from models_app.events.publish import publish_now
from models_app.jobs.models import Checkpoint, Job
from models_app.registry.services import model_create
from tests.browser.conftest import overflow
from tests.browser.looks import FULL, in_phone_dark
from tests.factories.alerts import evaluated, rule, watched
from tests.factories.data import ready_version
from tests.factories.trainings import ranks, told, training, wrote
from tests.workers.jobs.test_train_together import attempted, start
from tests.workers.lm.recording import WORDS
from tests.workers.lm.training.distributed.settings import LLAMA


@pytest.fixture
def job(transactional_db, team):
    return training(team, eta_s=754)


def ring(job, **news) -> None:
    """As the shipper does after it has stored something."""
    publish_now("job.progress", {"id": job.pk, **news}, f"job.{job.pk}")


@pytest.fixture
def grown(ana, team, job):
    """Everything that the page can show, with a spike and a process that is slow."""
    falling = [1.6 + 2.6 / (1 + place / 6) for place in range(60)]
    told(job, "loss", [*falling[:50], 9.3, *falling[51:]])
    told(job, "validation_loss", [4.2, 2.9, 2.4, 2.2, 2.1, 2.05], first=100, every=100)
    told(job, "unigram_entropy", [3.31], first=0)
    for name, top in (("learning_rate", 1e-3), ("gradient_norm", 1.2), ("mfu_percent", 41.0),
                      ("tokens_per_second", 15_300), ("memory_bytes", 3 << 30)):  # fmt: skip
        told(job, name, [top * (1 - 0.01 * (place % 7)) for place in range(60)])
    told(job, "step_seconds", [0.245 + 0.01 * (place % 5) for place in range(60)])
    ranks(job, 0.19, 0.83, seconds=0.84, step=600)
    words = WORDS.split()
    for step in range(100, 601, 100):
        said = " ".join(words[(step // 100 * 3 + n) % len(words)] for n in range(40))
        wrote(job, step, said, f"<b>{said}</b>\n\n海上的船 " + "a" * 200, prompt="The ship")
    Checkpoint.objects.create(
        job=job, epoch=1, step=600, path="x", digest="d", size_bytes=9 << 20,
        metrics={"validation_loss": 2.05},
    )  # fmt: skip
    note = "Watch whether the loss comes back. If not, stop and continue from before it."
    spike = rule("training-spike", signal="training_loss_spike", above=3, note=note)
    slow = rule("training-straggler", signal="training_slow_rank", above=1.5, severity="critical")
    watched(ana, team, spike, slow)
    evaluated()
    return job


@in_phone_dark
def test_looks_right(
    new_page, sign_in, ana, grown, violations, screenshot, phone, theme, language
) -> None:
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    page.open(f"/jobs/{grown.pk}/")
    expect(page.locator("#job-course canvas")).to_have_count(6)
    expect(page.locator("#job-ranks tbody tr")).to_have_count(2)
    expect(page.locator("#job-alarms .note")).to_have_count(2)

    assert [*overflow(page), *violations(page)] == []
    widths = "[...document.querySelectorAll('.plot')].map((p) => [p, p.parentElement])"
    shares = page.evaluate(f"{widths}.map(([own, all]) => own.clientWidth / all.clientWidth)")
    assert min(shares) > 0.95
    screenshot(page, f"training-live-{'phone' if phone else 'desktop'}-{theme}-{language}")


def test_new_figures_texts_and_alarms_come_by_the_socket(page, sign_in, ana, team, job) -> None:
    told(job, "loss", [2.0] * 20)
    told(job, "learning_rate", [0.5] * 20)
    wrote(job, 100, "words of 100")
    wrote(job, 200, "words of 200")
    sign_in(page, ana).open(f"/jobs/{job.pk}/")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    expect(page.locator("#course-rate .key b")).to_have_text("0.5")

    told(job, "learning_rate", [0.25], first=210)
    told(job, "loss", [9.0], first=210)
    wrote(job, 300, "words of 300")
    ring(job, metric_step=210, sample_step=300)
    expect(page.locator("#course-rate .key b")).to_have_text("0.25")
    expect(page.locator("#sample-texts")).to_contain_text("words of 300")
    expect(page.locator("#job-alarms .note")).to_have_count(0)

    watched(ana, team, rule("jump", signal="training_loss_spike", above=3, note="Look."))
    evaluated()
    expect(page.locator("#job-alarms")).to_contain_text("The loss has jumped")
    page.locator("#job-alarms").get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#job-alarms")).to_contain_text("looks after it")


def test_the_keys_lead_through_the_steps_and_the_choice_stays(page, sign_in, ana, job) -> None:
    told(job, "loss", [2.0] * 20)
    for step in (100, 200, 300):
        wrote(job, step, f"words of {step}")
    sign_in(page, ana).open(f"/jobs/{job.pk}/")
    texts, slider = page.locator("#sample-texts"), page.get_by_role("slider", name="Step")
    expect(texts).to_contain_text("words of 300")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")

    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(texts).to_contain_text("words of 200")
    wrote(job, 400, "words of 400")
    ring(job, sample_step=400)
    expect(slider).to_have_attribute("max", "3")
    expect(texts).to_contain_text("words of 200")
    assert page.evaluate("location.search") == "?sample=200"

    page.get_by_role("link", name="The texts of step 100").click()
    expect(texts).to_contain_text("words of 100")
    slider.focus()
    page.keyboard.press("End")
    expect(texts).to_contain_text("words of 400")
    wrote(job, 500, "words of 500")
    ring(job, sample_step=500)
    expect(texts).to_contain_text("words of 500")
    page.reload()
    expect(texts).to_contain_text("words of 500")


@pytest.mark.slow
def test_a_training_of_two_processes_is_watched(
    new_page, sign_in, ana, team, transactional_db, tmp_path, screenshot
) -> None:
    """From its first step to its end, by real processes and a real worker's shipping."""
    looks = [(False, "light", "en"), (True, "dark", "zh-hans")]
    looks += [(True, "light", "en"), (False, "dark", "zh-hans")] if FULL else []
    data = ready_version(ana, team, tmp_path)
    model = model_create(actor=ana, team=team, name="poet")
    version = start(
        ana, model, data, preset=None, architecture=LLAMA, steps=200, log_every=5,
        evaluate_every=25, checkpoint_every=100, sample_prompts=["the quick", ""],
        sample_tokens=12,
    )  # fmt: skip
    job = version.produced_by
    pages = [
        sign_in(new_page(phone=phone, theme=theme, language=language), ana)
        for phone, theme, language in looks
    ]
    for page in pages:
        page.open(f"/jobs/{job.pk}/")
    thread, _held = attempted(job)
    try:
        for (phone, theme, language), page in zip(looks, pages, strict=True):
            expect(page.locator("#job-ranks tbody tr")).to_have_count(2)
            expect(page.locator("#sample-texts li")).to_have_count(2)
            expect(page.locator("#job-course canvas").first).to_be_visible()
            name = f"two-processes-{'phone' if phone else 'desktop'}-{theme}-{language}"
            screenshot(page, name)
            assert overflow(page) == []
    finally:
        thread.join(120)
    assert Job.objects.get(pk=job.pk).state == "succeeded"
    expect(pages[0].locator("#sample-texts")).not_to_be_empty()
    expect(pages[0].locator(".sample-at")).to_contain_text("step 200")
