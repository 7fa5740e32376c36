"""`/v1/users`: the operator makes users."""

from fastapi import APIRouter

from tollway.control import users
from tollway.web.bearer import TheOperator, TheWorld
from tollway.web.fields import Body, Email, Name

router = APIRouter(prefix="/v1/users", tags=["users"])


class UserCreate(Body):
    """A user to be."""

    email: Email
    name: Name


class UserCreated(Body):
    """A new user; the token is shown this once."""

    id: str
    email: str
    name: str
    token: str


@router.post("", status_code=201, response_model=UserCreated, dependencies=[TheOperator])
async def create_user(body: UserCreate, world: TheWorld) -> users.NewUser:
    """Make a user, with a first token and an organisation of their own."""
    return await world.database.write(
        users.create_user,
        email=body.email,
        name=body.name,
        opening=world.settings.opening,
        now_us=world.clock.now_us(),
    )
