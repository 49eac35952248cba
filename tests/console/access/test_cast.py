"""The cast itself: who sees what."""


def test_cast(ana, ben, cai, dan, eve, root, team, client_for, api_for):
    assert ana.visible_team_ids() == [team.pk] == ben.visible_team_ids()
    assert team.pk not in cai.visible_team_ids()
    assert root.visible_team_ids() is None
    assert client_for(ana).get("/api/schema/").status_code == 200
    assert api_for(ana, "read").get("/api/schema/").status_code == 200
