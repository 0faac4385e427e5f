from inspectd_tools.programs import prepare_data

if __name__ == "__main__":
    raise SystemExit(prepare_data())
