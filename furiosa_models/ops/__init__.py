"""Operations on arrays: numpy twins of the native module, and checks that both share."""
