"""Stock clients read models and datasets from the console, knowing only its address and a token."""

import pytest

from models_app.registry.aliases import AliasMove
from models_app.registry.services.pushes import draft_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

FILES = {"config.json": b'{"a": 1}', "model.safetensors": b"w" * 3_000_000, "sub/deep/x.txt": b""}


class TestHuggingfaceHub:
    def test_brings_a_whole_version_by_tag_branch_and_commit(
        self, client_of, ben, team, model_version
    ):
        first = model_version(team, FILES)
        second = model_version(team, {**FILES, "config.json": b'{"a": 2}'})
        found = client_of(ben).run(
            """
            import json, sys
            from pathlib import Path
            from huggingface_hub import snapshot_download
            def pull(revision):
                folder = Path(snapshot_download("research/poet", revision=revision))
                names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*")
                               if p.is_file())
                return [folder.name, names, (folder / "config.json").read_text()]
            print(json.dumps([pull(revision) for revision in ("v1", "main", sys.argv[1])]))
            """,
            first.digest[:40],
        )

        ones = [first.digest[:40], sorted(FILES), '{"a": 1}']
        assert found == [ones, [second.digest[:40], sorted(FILES), '{"a": 2}'], ones]

    def test_transfers_nothing_twice(self, client_of, ben, team, model_version):
        model_version(team, FILES)
        model_version(team, {**FILES, "config.json": b"{}"})
        found = client_of(ben).run(
            """
            import json, os
            from huggingface_hub import snapshot_download
            one = snapshot_download("research/poet", revision="v1")
            two = snapshot_download("research/poet", revision="v2")
            weights = [os.path.realpath(f"{folder}/model.safetensors") for folder in (one, two)]
            print(json.dumps([os.path.basename(path) for path in weights]))
            """
        )

        assert found[0] == found[1] and len(found[0]) == 64

    def test_lists_and_describes(self, client_of, ben, team, model_version, dataset_version):
        version = model_version(team, FILES, notes="the first")
        dataset_version(team, {"train/00000.jsonl": b"{}\n"})
        found = client_of(ben).run(
            """
            import json
            from huggingface_hub import HfApi, ModelCard
            api = HfApi()
            info = api.model_info("research/poet", files_metadata=True)
            tree = list(api.list_repo_tree("research/poet"))
            deep = list(api.list_repo_tree("research/poet", "sub", recursive=True))
            refs = api.list_repo_refs("research/poet")
            paths = api.get_paths_info("research/poet", ["config.json", "sub", "none"])
            commits = api.list_repo_commits("research/poet")
            print(json.dumps({
                "me": api.whoami()["orgs"][0]["name"],
                "models": [one.id for one in api.list_models(author="research")],
                "datasets": [one.id for one in api.list_datasets(search="tex")],
                "sha": info.sha, "private": info.private, "sizes": [s.size for s in info.siblings],
                "top": [one.path for one in tree], "deep": [one.path for one in deep],
                "refs": [[one.name, one.target_commit] for one in refs.branches + refs.tags],
                "paths": [one.path for one in paths],
                "files": api.list_repo_files("research/texts", repo_type="dataset"),
                "exists": [api.repo_exists("research/poet"), api.repo_exists("research/none"),
                           api.revision_exists("research/poet", "v9"),
                           api.file_exists("research/poet", "config.json"),
                           api.file_exists("research/poet", "none.json")],
                "commits": [[one.title, one.message] for one in commits],
            }))
            """
        )

        commit = version.digest[:40]
        assert found == {
            "me": "research",
            "models": ["research/poet"],
            "datasets": ["research/texts"],
            "sha": commit, "private": True, "sizes": [8, 3_000_000, 0],
            "top": ["config.json", "model.safetensors", "sub"],
            "deep": ["sub/deep", "sub/deep/x.txt"],
            "refs": [["main", commit], ["v1", commit]],
            "paths": ["config.json", "sub"],
            "files": ["train/00000.jsonl"],
            "exists": [True, False, False, True, False],
            "commits": [["poet v1", "the first"]],
        }  # fmt: skip

    def test_goes_on_where_it_was_cut_off(self, client_of, ben, team, model_version, console):
        model_version(team, FILES)
        client = client_of(ben)
        found = client.run(
            """
            import hashlib, json, os
            from pathlib import Path
            from huggingface_hub import hf_hub_download, get_hf_file_metadata, hf_hub_url
            meta = get_hf_file_metadata(hf_hub_url("research/poet", "model.safetensors"))
            blobs = Path(os.environ["HF_HOME"], "hub", "models--research--poet", "blobs")
            blobs.mkdir(parents=True)
            (blobs / f"{meta.etag}.incomplete").write_bytes(b"w" * 1_000_000)
            path = hf_hub_download("research/poet", "model.safetensors")
            data = open(path, "rb").read()
            print(json.dumps([meta.size, len(data), hashlib.sha256(data).hexdigest() == meta.etag]))
            """
        )

        assert found == [3_000_000, 3_000_000, True]


class TestConversions:
    def test_main_stays_with_the_source(self, client_of, ben, team, model_version):
        version = model_version(team, FILES)
        model_version(team, {"poet.gguf": b"GGUF"}, format="gguf", source_version=version)
        found = client_of(ben).run(
            """
            import json
            from huggingface_hub import HfApi
            api, repo = HfApi(), "research/poet"
            refs = api.list_repo_refs(repo)
            print(json.dumps([api.list_repo_files(repo), api.list_repo_files(repo, revision="v2"),
                              refs.branches[0].target_commit, api.model_info(repo).sha]))
            """
        )

        commit = version.digest[:40]
        assert found == [sorted(FILES), ["poet.gguf"], commit, commit]

    def test_a_push_builds_on_the_source(self, ben, team, model_version):
        version = model_version(team, FILES)
        model_version(team, {"poet.gguf": b"GGUF"}, format="gguf", source_version=version)

        assert draft_of(version.model) == (version.manifest, version.digest)


class TestCard:
    def test_is_generated_and_parsed_by_the_client(self, client_of, ben, team, model_version):
        model_version(team, FILES)
        found = client_of(ben).run(
            """
            import json
            from huggingface_hub import HfApi, ModelCard
            card = ModelCard.load("research/poet")
            card.data.tags.append("verse")
            card.push_to_hub("research/poet")
            print(json.dumps([card.data.library_name, "poet v1" in card.text,
                              HfApi().list_repo_files("research/poet")]))
            """
        )

        # What was made here and comes back is not kept as a file, for its figures would stay.
        assert found == ["transformers", True, sorted(FILES)]


class TestNames:
    def test_aliases_are_branches(self, client_of, ben, team, model_version):
        first, second = (model_version(team, {"config.json": data}) for data in (b"1", b"2"))
        found = client_of(ben).run(
            """
            import json
            from pathlib import Path
            from huggingface_hub import HfApi, snapshot_download
            api, repo = HfApi(), "research/poet"
            api.create_branch(repo, branch="champion", revision="v1")
            api.create_tag(repo, tag="challenger", revision="v2", tag_message="Rhymes better.")
            def refs():
                return {one.name: one.target_commit for one in api.list_repo_refs(repo).branches}
            def text(revision):
                return Path(snapshot_download(repo, revision=revision), "config.json").read_text()
            before, texts = refs(), [text("champion"), text("challenger")]
            try:
                api.create_tag(repo, tag="champion", revision="v2")
            except Exception as error:
                taken = str(error)
            api.create_tag(repo, tag="champion", revision="v2", exist_ok=True)
            api.delete_branch(repo, branch="champion")
            print(json.dumps([before, texts, taken, refs()]))
            """
        )

        one, two = first.digest[:40], second.digest[:40]
        assert found[0] == {"main": two, "champion": one, "challenger": two}
        assert found[1] == ["1", "2"]
        assert "already" in found[2]
        assert found[3] == {"main": two, "challenger": two}
        moves = AliasMove.objects.filter(model=first.model).values_list("name", "reason")
        assert set(moves) == {("champion", ""), ("challenger", "Rhymes better.")}


class TestRefusals:
    CODE = """
        import json, sys
        from huggingface_hub import hf_hub_download
        try:
            hf_hub_download("research/poet", "config.json", revision=sys.argv[1])
        except Exception as error:
            print(json.dumps([type(error).__name__, str(error)]))
        else:
            print(json.dumps(["none", ""]))
    """

    def test_an_outsider_learns_of_nothing(self, client_of, cai, team, model_version):
        model_version(team, FILES)

        assert client_of(cai).run(self.CODE, "main")[0] == "RepositoryNotFoundError"

    def test_a_token_for_other_things_is_not_enough(self, client_of, ben, team, model_version):
        model_version(team, FILES)
        kind, text = client_of(ben, scopes=["infer"]).run(self.CODE, "main")

        assert kind != "none"
        assert "registry.view_model" in text

    def test_no_token_and_a_wrong_one(self, client_of, ben, team, model_version):
        model_version(team, FILES)
        client = client_of(ben)
        client.token = "slip_wrong"

        kind, text = client.run(self.CODE, "main")
        assert kind != "none"
        assert "401" in text

    def test_names_the_revision_that_is_not_there(self, client_of, ben, team, model_version):
        model_version(team, FILES)
        kind, text = client_of(ben).run(self.CODE, "v7")

        assert kind == "RevisionNotFoundError"
        assert "v7" in text

    def test_a_quarantined_version_is_withheld(self, client_of, ben, team, model_version):
        model_version(team, {"config.json": b"1"})
        model_version(team, {"config.json": b"2"}, state="quarantined")
        client = client_of(ben)

        kind, text = client.run(self.CODE, "v2")
        assert kind != "none"
        assert "quarantined" in text
        assert client.run(self.CODE, "main")[0] == "none"
