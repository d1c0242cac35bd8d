from autoq.testing.strategy_contract import StrategyContract


class TestBasic(StrategyContract):
    name = "basic"


class TestRandom(StrategyContract):
    name = "random"


class TestExhaustive(StrategyContract):
    name = "exhaustive"
