"""The stock client of MLflow 3.17.2, and the Trainer of transformers, log into a live console."""

import pytest

from models_app.jobs.models import Job
from models_app.registry.models import TrainingRun
from models_app.registry.run_selectors import run_views

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_a_plain_script_logs_reads_back_and_finds_its_runs(program_of, ben, team):
    told = program_of(ben).run(
        """
        import json, math
        import mlflow
        from mlflow.exceptions import MlflowException

        mlflow.set_experiment("rates")
        with mlflow.start_run(run_name="outer", description="x" * 700) as outer:
            mlflow.log_param("lr", 1e-4)
            mlflow.log_params({"layers": 2, "words": "y" * 5000})
            for step in range(3):
                mlflow.log_metric("loss", 3.0 - step, step=step)
            mlflow.log_metrics({"grad": math.nan, "top": math.inf}, step=2)
            mlflow.set_tag("team", "a")
            mlflow.set_tags({"team": "b", "gone": "1"})
            mlflow.delete_tag("gone")
            data = mlflow.data.meta_dataset.MetaDataset(
                mlflow.data.http_dataset_source.HTTPDatasetSource("https://example.com/a"),
                name="texts",
            )
            mlflow.log_input(data, context="train")
            mlflow.log_text("hello", "notes/a.txt")
            mlflow.log_dict({"a": 1}, "b.json")
            mlflow.log_text("hello again", "notes/a.txt")
            with mlflow.start_run(run_name="inner", nested=True) as inner:
                mlflow.log_metric("loss", 0.5)
            try:
                mlflow.log_param("lr", 1)
            except MlflowException as error:
                refused = [error.error_code, "1" in str(error)]
        try:
            with mlflow.start_run(run_name="broken"):
                raise ValueError
        except ValueError:
            pass

        client = mlflow.MlflowClient()
        run = client.get_run(outer.info.run_id)
        found = mlflow.search_runs(
            filter_string="metrics.loss <= 1 and attributes.status = 'FINISHED'",
            order_by=["metrics.loss DESC"],
        )
        nested = client.search_runs(
            [run.info.experiment_id], f"tags.mlflow.parentRunId = '{outer.info.run_id}'"
        )
        failed = client.search_runs([run.info.experiment_id], "status = 'FAILED'")
        files = [(f.path, f.is_dir, f.file_size) for f in client.list_artifacts(outer.info.run_id)]
        text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/a.txt")
        folder = mlflow.artifacts.download_artifacts(f"runs:/{outer.info.run_id}/notes")
        import pathlib
        downloaded = sorted(p.name for p in pathlib.Path(folder).iterdir())
        print(json.dumps([
            {
                "name": run.info.run_name, "status": run.info.status,
                "took": run.info.end_time >= run.info.start_time,
                "params": {k: v[:9] for k, v in run.data.params.items()},
                "words": len(run.data.params["words"]),
                "loss": run.data.metrics["loss"], "odd": str(run.data.metrics["grad"]),
                "top": str(run.data.metrics["top"]), "team": run.data.tags["team"],
                "note": len(run.data.tags["mlflow.note.content"]),
                "gone": "gone" in run.data.tags,
                "data": [[i.dataset.name, i.tags[0].value] for i in run.inputs.dataset_inputs],
            },
            [(m.step, m.value) for m in client.get_metric_history(outer.info.run_id, "loss")],
            list(found["run_id"]) == [outer.info.run_id, inner.info.run_id],
            [r.info.run_name for r in nested], [r.info.run_name for r in failed],
            files, text, downloaded, refused, [e.name for e in client.search_experiments()],
        ]))
        """
    )

    run, history, in_order, nested, failed, files, text, downloaded, refused, experiments = told
    assert run == {
        "name": "outer", "status": "FINISHED", "took": True,
        "params": {"lr": "0.0001", "layers": "2", "words": "y" * 9}, "words": 5000,
        "loss": 1.0, "odd": "nan", "top": "inf", "team": "b", "note": 700, "gone": False,
        "data": [["texts", "train"]],
    }  # fmt: skip
    assert history == [[0, 3.0], [1, 2.0], [2, 1.0]]
    assert in_order
    assert (nested, failed) == (["inner"], ["broken"])
    assert files == [["b.json", False, 12], ["notes", True, None]]
    assert (text, downloaded) == ("hello again", ["a.txt"])
    assert refused == ["INVALID_PARAMETER_VALUE", True]
    assert experiments == ["rates"]
    rows = {row.name: row for row in TrainingRun.objects.filter(team=team)}
    (view,) = run_views([rows["outer"]])
    assert view.params["lr"] == 1e-4  # a number for searches and pictures
    assert view.metrics == {"loss": 1.0}
    states = {row.title: row.state for row in Job.objects.filter(kind="external")}
    assert states == {"outer": "succeeded", "inner": "succeeded", "broken": "failed"}


def test_values_without_steps_all_come_back_and_an_ended_run_is_taken_up_again(program_of, ben):
    told = program_of(ben).run(
        """
        import json
        import mlflow

        with mlflow.start_run(run_name="first") as run:
            for value in (3.0, 2.0, 2.0, 4.0):
                mlflow.log_metric("loss", value)
        client = mlflow.MlflowClient()
        ended = client.get_run(run.info.run_id).info.status
        with mlflow.start_run(run_id=run.info.run_id) as again:
            reopened = client.get_run(run.info.run_id).info
            mlflow.log_metric("loss", 1.0)
        client.update_run(run.info.run_id, status="RUNNING")
        client.log_metric(run.info.run_id, "loss", 0.5)
        client.set_terminated(run.info.run_id, "FAILED")
        last = client.get_run(run.info.run_id)
        points = client.get_metric_history(run.info.run_id, "loss")
        print(json.dumps([
            ended, reopened.status, reopened.end_time, last.info.status,
            last.data.metrics["loss"], [point.value for point in points],
            [point.step for point in points],
        ]))
        """
    )

    ended, status, end_time, last, newest, values, steps = told
    assert (ended, status, end_time, last) == ("FINISHED", "RUNNING", None, "FAILED")
    assert newest == 0.5
    # The same value in the same millisecond is one point, as for MLflow.
    assert [v for n, v in enumerate(values) if n == 0 or v != values[n - 1]] == [3, 2, 4, 1, 0.5]
    assert set(steps) == {0}


def test_the_trainer_of_transformers_logs_with_nothing_but_two_variables(program_of, ben, team):
    told = program_of(ben).run(
        """
        import json
        import torch
        from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

        model = GPT2LMHeadModel(GPT2Config(
            vocab_size=27, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0,
            eos_token_id=0,
        ))
        rows = [{"input_ids": torch.arange(8), "labels": torch.arange(8)}] * 6
        arguments = TrainingArguments(
            "out", report_to="mlflow", run_name="tiny", max_steps=3, logging_steps=1,
            per_device_train_batch_size=2, use_cpu=True, save_strategy="no", disable_tqdm=True,
        )
        Trainer(model=model, args=arguments, train_dataset=rows).train()
        print(json.dumps("done"))
        """,
        MLFLOW_EXPERIMENT_NAME="research/tiny-gpt",
    )

    assert told == "done"
    run = TrainingRun.objects.get(team=team, name="tiny")
    assert run.job.state == "succeeded"
    assert str(run.logged.experiment) == "tiny-gpt"
    (view,) = run_views([run])
    assert {"loss", "learning_rate", "train_runtime"} <= set(view.metrics)
    assert view.params["n_embd"] == 8
    assert view.params["max_steps"] == 3


def test_outsiders_and_bad_tokens_are_told_what_is_wrong(program_of, ben, cai):
    made = program_of(ben).run(
        """
        import json, mlflow
        with mlflow.start_run() as run:
            pass
        print(json.dumps(run.info.run_id))
        """
    )
    code = f"""
        import json, mlflow
        from mlflow.exceptions import MlflowException
        try:
            mlflow.get_run("{made}")
        except MlflowException as error:
            print(json.dumps([error.error_code, str(error)]))
        """

    assert program_of(cai).run(code)[0] == "RESOURCE_DOES_NOT_EXIST"
    denied = program_of(ben).run(code, MLFLOW_TRACKING_TOKEN="slip_wrong")
    assert denied[0] == "UNAUTHENTICATED"
    by_password = """
        import json, mlflow
        print(json.dumps(mlflow.get_run(RUN).info.status))
        """.replace("RUN", repr(made))
    program = program_of(ben)
    basic = {"MLFLOW_TRACKING_TOKEN": "", "MLFLOW_TRACKING_USERNAME": "anybody"}
    told = program.run(by_password, **basic, MLFLOW_TRACKING_PASSWORD=program.token)
    assert told == "FINISHED"
