from autoq.testing.strategy_contract import StrategyContract


class TestBasic(StrategyContract):
    name = "basic"


class TestRandom(StrategyContract):
    name = "random"


class TestExhaustive(StrategyContract):
    name = "exhaustive"


class TestTpe(StrategyContract):
    name = "tpe"


class TestBayesian(StrategyContract):
    name = "bayesian"


class TestConservative(StrategyContract):
    name = "conservative"


class TestMse(StrategyContract):
    name = "mse"


class TestMseV2(StrategyContract):
    name = "mse_v2"


class TestHawqV2(StrategyContract):
    name = "hawq_v2"


class TestIlp(StrategyContract):
    name = "ilp"


class TestAuto(StrategyContract):
    name = "auto"


class TestPareto(StrategyContract):
    name = "pareto"
