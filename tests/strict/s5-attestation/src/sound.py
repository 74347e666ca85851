def run(request):
    return request
