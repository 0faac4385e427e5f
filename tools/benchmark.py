from inspectd_tools.programs import benchmark

if __name__ == "__main__":
    raise SystemExit(benchmark())
