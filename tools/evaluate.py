from inspectd_tools.programs import evaluate

if __name__ == "__main__":
    raise SystemExit(evaluate())
