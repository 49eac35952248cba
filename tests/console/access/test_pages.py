"""Pages of people, teams, tokens and the audit log."""

import re

import pytest

from console.access.models import ApiToken, Membership, Team, User
from console.access.tokens import token_find
from models_app.audit.models import AuditEvent
from tests.factories.access import ApiTokenFactory, MembershipFactory, UserFactory
from tests.matrix import assert_hidden

pytestmark = pytest.mark.django_db


def text(answer) -> str:
    return answer.content.decode()


class TestPeople:
    def test_one_sees_people_of_ones_teams(self, ana, ben, cai, client_for):
        page = text(client_for(ana).get("/people/"))
        assert "ben@example.com" in page
        assert "cai@example.com" not in page
        assert "New person" not in page

    def test_the_list_is_searched_filtered_and_paged(self, root, team, client_for):
        for n in range(30):
            MembershipFactory(user=UserFactory(name=f"Zoe {n:02}"), team=team)
        client = client_for(root)
        assert "Zoe 29" not in text(client.get("/people/"))
        assert "Zoe 29" in text(client.get("/people/?page=2"))
        assert "Zoe 29" in text(client.get("/people/?page=999"))
        page = text(client.get("/people/?q=zoe+07&role=developer&team=research&status=active"))
        assert "Zoe 07" in page
        assert "Zoe 08" not in page
        assert "Nobody found" in text(client.get("/people/?q=nobody"))

    def test_a_new_person_gets_a_one_time_password_shown_once(self, root, team, client_for):
        client = client_for(root)
        answer = client.post(
            "/people/new/",
            {"name": "Gus", "email": "gus@example.com", "team": "research", "role": "approver"},
        )
        secret = re.search(r'id="secret">([^<]+)<', text(answer)).group(1)
        user = User.objects.get(email="gus@example.com")
        assert user.check_password(secret)
        assert user.memberships.get().role == "approver"
        assert "no-store" in answer["Cache-Control"]
        assert secret not in text(client.get(f"/people/{user.pk}/"))
        assert secret not in str(list(AuditEvent.objects.values()))

    def test_errors_stand_beside_the_field(self, root, ana, client_for):
        answer = client_for(root).post(
            "/people/new/", {"name": "Ana", "email": ana.email, "role": "viewer"}
        )
        assert "There is a person with the address" in text(answer)
        assert 'value="ana@example.com"' in text(answer)

    def test_only_platform_admins_make_people(self, ana, client_for):
        client = client_for(ana)
        assert client.get("/people/new/").status_code == 403
        assert client.post("/people/new/", {}).status_code == 403

    def test_an_admin_switches_off_and_on_promotes_and_resets(self, root, ben, client_for):
        client = client_for(root)
        at = f"/people/{ben.pk}/"
        for verb, field, value in [
            ("admin", "is_admin", True),
            ("no-admin", "is_admin", False),
            ("deactivate", "is_active", False),
            ("activate", "is_active", True),
        ]:
            assert client.post(f"{at}{verb}/").status_code == 302
            ben.refresh_from_db()
            assert getattr(ben, field) is value
            assert client.get(at).status_code == 200
        answer = client.post(f"{at}password/")
        secret = re.search(r'id="secret">([^<]+)<', text(answer)).group(1)
        ben.refresh_from_db()
        assert ben.check_password(secret)
        assert client.post(at, {"name": "Benjamin"}).status_code == 302
        assert client.post(f"{at}explode/").status_code == 404

    def test_members_cannot_administer_each_other(self, ana, ben, client_for):
        client = client_for(ana)
        assert "Deactivate" not in text(client.get(f"/people/{ben.pk}/"))
        assert client.post(f"/people/{ben.pk}/deactivate/").status_code == 403
        assert client.post(f"/people/{ben.pk}/password/").status_code == 403
        assert client.post(f"/people/{ben.pk}/", {"name": "B"}).status_code == 403

    def test_outsiders_get_404(self, ana, cai, team, client_for):
        assert_hidden(
            client_for(cai),
            [f"/people/{ana.pk}/", f"/teams/{team.slug}/", "/people/999999/", "/teams/none/"],
            [
                f"/people/{ana.pk}/deactivate/", f"/people/{ana.pk}/password/",
                f"/teams/{team.slug}/members/", f"/teams/{team.slug}/rename/",
                f"/teams/{team.slug}/members/{ana.pk}/role/",
                f"/teams/{team.slug}/members/{ana.pk}/remove/",
                f"/tokens/{ApiTokenFactory(user=ana).pk}/revoke/",
                f"/tokens/{ApiTokenFactory(user=ana).pk}/replace/",
            ],
        )  # fmt: skip


class TestTeams:
    def test_the_list_shows_ones_teams(self, ana, cai, client_for):
        page = text(client_for(ana).get("/teams/"))
        assert "Research" in page
        assert "Legal" not in page

    def test_a_platform_admin_makes_one(self, root, ana, client_for):
        client = client_for(root)
        assert client.get("/teams/new/").status_code == 200
        answer = client.post("/teams/new/", {"slug": "vision", "title": "", "admin": ana.email})
        assert answer["Location"] == "/teams/vision/"
        assert Membership.objects.get(team__slug="vision").user == ana
        for wrong in ({"slug": "Bad Name"}, {"slug": "x", "admin": "nobody@example.com"}):
            answer = client.post("/teams/new/", wrong)
            assert "field-error" in text(answer)
        assert Team.objects.count() == 2

    def test_an_admin_adds_changes_and_removes_members(self, ana, cai, team, client_for):
        client = client_for(ana)
        at = f"/teams/{team.slug}/members/"
        assert client.post(at, {"email": cai.email, "role": "viewer"}).status_code == 302
        assert client.post(f"{at}{cai.pk}/role/", {"role": "developer"}).status_code == 302
        assert Membership.objects.get(team=team, user=cai).role == "developer"
        assert client.get(f"/teams/{team.slug}/").status_code == 200
        assert client.post(f"{at}{cai.pk}/remove/").status_code == 302
        assert not Membership.objects.filter(team=team, user=cai).exists()
        answer = client.post(at, {"email": "nobody@example.com", "role": "viewer"})
        assert answer.status_code == 422
        assert "Nobody has this address" in text(answer)

    def test_the_last_admin_stays_and_the_page_says_why(self, ana, team, client_for):
        client = client_for(ana)
        answer = client.post(f"/teams/{team.slug}/members/{ana.pk}/remove/", follow=True)
        assert "last admin" in text(answer)
        answer = client.post(
            f"/teams/{team.slug}/members/{ana.pk}/role/", {"role": "viewer"}, follow=True
        )
        assert "last admin" in text(answer)

    def test_others_only_look(self, ben, ana, team, client_for):
        client = client_for(ben)
        page = text(client.get(f"/teams/{team.slug}/"))
        assert "ana@example.com" in page
        assert "Add a member" not in page
        answer = client.post(f"/teams/{team.slug}/members/", {"email": "x@y.zz", "role": "viewer"})
        assert answer.status_code == 403
        assert client.post(f"/teams/{team.slug}/rename/", {"title": "T"}).status_code == 403

    def test_renaming(self, ana, team, client_for):
        client_for(ana).post(f"/teams/{team.slug}/rename/", {"title": "R and D"})
        team.refresh_from_db()
        assert team.title == "R and D"


class TestTokens:
    def test_a_new_token_is_shown_once(self, ana, team, client_for):
        client = client_for(ana)
        assert client.get("/tokens/new/").status_code == 200
        answer = client.post(
            "/tokens/new/",
            {"name": "ci", "scopes": ["read", "infer"], "team": "research", "days": "30"},
        )
        secret = re.search(r'id="secret">([^<]+)<', text(answer)).group(1)
        token = token_find(secret)
        assert (token.user, token.team, token.scopes) == (ana, team, ["read", "infer"])
        assert "no-store" in answer["Cache-Control"]
        page = text(client.get("/tokens/"))
        assert secret not in page
        assert token.prefix in page

    def test_errors_stand_beside_the_field(self, ana, client_for):
        answer = client_for(ana).post("/tokens/new/", {"name": "", "days": "90"})
        assert text(answer).count("field-error") >= 2
        assert not ApiToken.objects.exists()

    def test_replace_and_revoke(self, ana, client_for):
        client = client_for(ana)
        token = ApiTokenFactory(user=ana, name="old")
        answer = client.post(f"/tokens/{token.pk}/replace/")
        secret = re.search(r'id="secret">([^<]+)<', text(answer)).group(1)
        fresh = token_find(secret)
        assert client.post(f"/tokens/{fresh.pk}/revoke/").status_code == 302
        assert token_find(secret) is None
        assert "Revoked" in text(client.get("/tokens/?status=revoked"))
        assert token_find(token.secret) is not None

    def test_an_admin_revokes_the_token_of_another(self, root, ana, client_for):
        token = ApiTokenFactory(user=ana)
        client = client_for(root)
        assert token.prefix in text(client.get(f"/people/{ana.pk}/"))
        answer = client.post(f"/tokens/{token.pk}/revoke/")
        assert answer["Location"] == f"/people/{ana.pk}/"
        assert token_find(token.secret) is None
        assert client.post("/tokens/999999/revoke/").status_code == 404


class TestAudit:
    def test_changes_are_readable_and_lead_to_the_thing(self, ana, ben, team, client_for):
        client = client_for(ana)
        client.post(f"/teams/{team.slug}/members/{ben.pk}/role/", {"role": "viewer"})
        page = text(client.get("/audit/"))
        assert "Role of a member changed" in page
        assert "membership.changed" in page
        assert "<del" in page
        assert "developer" in page
        assert f'href="/teams/{team.slug}/"' in page

    def test_outsiders_see_nothing_of_it(self, ana, cai, team, client_for):
        client_for(ana).post(f"/teams/{team.slug}/rename/", {"title": "Hidden matter"})
        assert "Hidden matter" not in text(client_for(cai).get("/audit/"))

    def test_filters_and_cursor(self, ana, team, client_for):
        client = client_for(ana)
        for n in range(55):
            client.post(f"/teams/{team.slug}/rename/", {"title": f"Title {n:02}"})
        page = text(client.get("/audit/?action=team.&team=research&q=ana"))
        assert "Title 54" in page
        assert "Title 02" not in page
        older = re.search(r'rel="next" href="([^"]+)"', page).group(1).replace("&amp;", "&")
        assert "Title 02" in text(client.get(f"/audit/{older}"))
        assert "Nothing fits" in text(client.get("/audit/?action=job."))
        assert "Nothing fits" in text(client.get("/audit/?until=2001-01-01"))
        assert client.get("/audit/?since=yesterday").status_code == 422
        assert client.get("/audit/?cursor=junk&since=2001-01-01").status_code == 200

    def test_one_kind_of_change_is_found_by_its_words_or_its_name(self, ana, team, client_for):
        client = client_for(ana)
        client.post(f"/teams/{team.slug}/rename/", {"title": "New title"})
        for query in ("q=team+renamed", "q=TEAM.RENAMED", "action=team.renamed"):
            assert 'id="event-' in text(client.get(f"/audit/?{query}")), query
        assert 'id="event-' not in text(client.get("/audit/?q=job+failed"))
        page = text(client.get("/audit/?action=team.renamed"))
        assert '<option value="team.renamed" selected>Team renamed</option>' in page
