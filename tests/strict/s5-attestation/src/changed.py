def run(request):
    return request
# and more
